"""The configuration: read once at start into frozen structs; an error names the key, never the value.

Sources, later ones win: defaults, ``$QIBAI_HOME/qibai.toml``, variables ``QIBAI_<SECTION>_<KEY>``.
"""

from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from qibai.core.ids import node_number
from qibai.core.peers import NumberFormat, Transport
from qibai.core.pilot import Calendar, Rules
from qibai.settings import bounds
from qibai.settings.bounds import PortNumber, PortOrOff

#: What is said wherever the pilot's rules are switched off by an empty date.
UNRULED: Final = "pilot.notice is not set: approvals, certificates and the calendar are NOT asked"

MediaFrom = Literal["described", "first"]


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dsn: str = ""  #: as the platform's role; empty: the embedded server
    owner_dsn: str = ""  #: as the schema's owner, for `qibai migrate`; empty: the same as dsn
    read_dsn: str = ""  #: hot standbys for routing reads; empty: the same as dsn
    statement_timeout_ms: bounds.Milliseconds = 200  #: of routing reads
    connect_timeout_s: bounds.Waiting = 2  #: seconds to wait for a connection


class ApiConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"  #: the address that the API listens on
    port: PortNumber = 7000  #: its port
    workers: bounds.Workers = 1  #: processes
    tls_cert: str = ""  #: PEM files; both empty: plain HTTP
    tls_key: str = ""  #: its private key
    public_url: str = ""  #: the API's address as clients see it, where a proxy stands in front
    max_bulk: bounds.Items = 10_000  #: items in one bulk request
    bearer_over_http: bool = False  #: take bearer keys over plain HTTP from other machines too
    rate: bounds.Rate = 0  #: requests a second of one key; 0: no limit
    metrics_from: list[str] = []  #: CIDR blocks that read /metrics without a key, beside this machine
    max_connections: bounds.Connections = 4_096  #: of each worker
    max_connections_per_address: bounds.Connections = 512  #: the same, from one address
    head_s: bounds.Patience = 10.0  #: for a request's line and headers to come
    body_s: bounds.Patience = 60.0  #: for a body to come whole
    body_idle_s: bounds.Patience = 10.0  #: between two pieces of a body
    write_s: bounds.Patience = 30.0  #: for a client to read on

    def __post_init__(self) -> None:
        bounds.check_host(self.host, "host")
        if self.public_url:
            bounds.check_url(self.public_url, "public_url")
        bounds.check_networks(self.metrics_from, "metrics_from")


class BindingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    default_ttl_s: bounds.TenYears = 86_400  #: lifetime of a binding that names none
    max_ttl_s: bounds.TenYears = 90 * 86_400  #: the longest lifetime
    quarantine_s: bounds.TenYearsOrNone = 86_400  #: after its binding a (number, caller) pair stays unused
    default_max_call_s: bounds.AWeek = 3_600  #: the longest call of a binding that names none
    max_call_s: bounds.AWeek = 14_400  #: the most that a binding may allow


class Peer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A carrier's SIP element: trusted by its source address, and a place to send calls to.

    Media is taken from one address alone, and sent there. With `media_from = "described"` that is the
    address in the session description. Where the peer's telephones are behind NAT, their descriptions name
    an address that their packets do not come from, and nobody hears them: give this peer `"first"`. The
    address of the first packet is then learnt and kept. A stranger who sends to the port before the
    telephone does is heard in its place, so give `"first"` to no peer that does not need it.
    """

    name: str  #: how logs and doctor call it
    host: str  #: its address, of the family of voice.host
    port: PortNumber = 5060  #: where it takes SIP
    transport: Transport = "udp"  #: udp, tcp or tls
    number_format: NumberFormat = "e164"  #: how it writes real numbers: +86138…, 138…, or tel:+86138…
    priority: bounds.Priority = 10  #: the highest that answers OPTIONS gets calls; negative: never called
    sources: list[str] = []  #: more addresses or CIDR blocks that it may call from
    media_from: MediaFrom = "described"  #: which address its media has: as described, or the first packet's

    def __post_init__(self) -> None:
        bounds.check_name(self.name, "name")
        bounds.check_address(self.host, f"host of peer {self.name}")
        bounds.check_networks(self.sources, f"sources of peer {self.name}")


class VoiceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True  #: run Kamailio and rtpengine
    host: str = "127.0.0.1"  #: the address that peers see, IPv4 or IPv6
    udp_port: PortOrOff = 5060  #: 0: off
    tcp_port: PortOrOff = 5060  #: 0: off
    tls_port: PortOrOff = 0  #: 0: off
    tls_cert: str = ""  #: PEM files of the TLS port
    tls_key: str = ""  #: its private key
    tls_ca: str = ""  #: who signs peers' certificates
    workers: bounds.Workers = 2  #: Kamailio processes for each transport
    node_number: bounds.NodeNumber = -1  #: 0 to 127, unlike every other node's; -1: made of the node's name
    ring_timeout_s: bounds.Waiting = 60  #: how long a callee may ring
    session_expires_s: bounds.AWeek = 1_800  #: RFC 4028: a call that is not refreshed for so long is over
    min_se_s: bounds.AWeek = 90  #: the shortest refresh that is accepted
    probe_interval_s: bounds.WaitingOrNone = 10  #: between OPTIONS to each peer; 0: never
    media: bool = True  #: anchor media with rtpengine
    media_ng_port: PortNumber = 2223  #: rtpengine's control port, on 127.0.0.1
    media_port_min: PortNumber = 30_000  #: UDP ports for media
    media_port_max: PortNumber = 39_999  #: the last of them
    media_rtp_only: bool = True  #: relay RTP alone; false: also T.38, DTLS and whatever a party sends
    media_timeout_s: bounds.ADay = 60  #: a call without media for so long is over
    refuse_when_full: bool = True  #: refuse new calls with 503 while the disk has no room for their records
    refused_records_per_minute: bounds.AtLeastOneRate = 600  #: refused calls of one peer that get a record
    peers: list[Peer] = []  #: see below

    def __post_init__(self) -> None:
        bounds.check_address(self.host, "host")
        for peer in self.peers:
            if (":" in peer.host) != (":" in self.host):
                raise ValueError(f"host of peer {peer.name}: IPv4 and IPv6 do not mix; give it that of host")
        if len({peer.name for peer in self.peers}) != len(self.peers):
            raise ValueError("peers: two have one name")
        if self.enabled and self.media:
            self._check_media_ports()

    def _check_media_ports(self) -> None:
        """rtpengine opens a port though another has it, as Kamailio's may be shared, and gets what comes."""
        if not 1_024 <= self.media_port_min < self.media_port_max <= 65_535:
            raise ValueError("media_port_min and media_port_max: give a range within 1024 to 65535")
        if len(self.media_ports) < bounds.LEAST_MEDIA_PORTS:
            least = bounds.LEAST_MEDIA_PORTS
            raise ValueError(f"media_port_min and media_port_max: a call takes four; give {least} or more")
        others = {"udp_port": self.udp_port, "media_ng_port": self.media_ng_port}
        here = ip_address(self.host)
        others |= {f"port of peer {p.name}": p.port for p in self.peers if ip_address(p.host) == here}
        for name, port in others.items():
            if port in self.media_ports:
                least, most = self.media_ports[0], self.media_ports[-1]
                raise ValueError(f"{name}: {port} is among the ports for media, {least} to {most}")

    @property
    def media_ports(self) -> range:
        """What rtpengine opens ports of."""
        return range(self.media_port_min, self.media_port_max + 1)

    @property
    def inside(self) -> tuple[str, int]:
        """Where our own processes reach Kamailio over UDP and IPv4: where peers do, if they can."""
        if self.udp_port and ":" not in self.host:
            return self.host, self.udp_port
        return "127.0.0.1", self.udp_port or self.tcp_port or self.tls_port


class MessageLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A carrier's message centre that we bind to, or an account under which a carrier binds to us."""

    name: str  #: how logs and records call it
    protocol: Literal["smpp", "cmpp"]  #: SMPP 3.4, or CMPP
    role: Literal["client", "server"] = "client"  #: client: we bind to host; server: the peer binds to us
    host: str = ""  #: a client's peer
    port: PortOrOff = 0  #: its port; 0: 2775 for SMPP, 7890 for CMPP
    account: str = ""  #: system_id, or CMPP's Source_Addr of six digits
    password_file: str = ""  #: a file with the shared secret, of mode 600 or 640
    sources: list[str] = []  #: where a server's peer may bind from, addresses or CIDR; empty: anywhere
    tls: bool = False  #: a client's connection in TLS
    tls_ca: str = ""  #: who signs the peer's certificate; empty: the system's authorities
    number_format: NumberFormat = "national"  #: how it writes real numbers: e164 +86138…, national 138…
    version: Literal["", "3.4", "2.0", "3.0"] = ""  #: empty: SMPP 3.4, CMPP 3.0
    priority: bounds.Priority = 10  #: the highest that is up gets messages first; negative: never sent to
    prefixes: list[str] = []  #: only receivers whose number begins so (138, 1709 …); empty: all
    window: bounds.Window = 16  #: submits without an answer
    rate: bounds.Rate = 0  #: submits a second; 0: as fast as the window allows
    sessions: bounds.Sessions = 1  #: connections: how many we make, or at most take
    enquire_s: bounds.ADay = 30  #: an idle connection is asked after so long
    answer_s: bounds.Waiting | None = None  #: wait so long; unset: SMPP 10, CMPP 60
    long: Literal["udh8", "udh16", "sar", "payload"] = "udh8"  #: how long messages leave; CMPP: udh8, udh16
    service: str = ""  #: SMPP's service_type, CMPP's Service_Id
    fee_type: str = "01"  #: CMPP's FeeType: 01 free, 02 each message, 03 by the month …
    fee_code: str = "000000"  #: CMPP's FeeCode: what one costs, in 0.01 yuan
    receipt_ids: Literal["auto", "same", "decimal", "hex"] = "auto"  #: SMPP: ids in receipts; auto: found out
    alphabet: Literal["gsm", "latin1", "ascii", "gbk"] = "gsm"  #: SMPP: what data_coding 0 means
    verify: bool = True  #: CMPP client: check AuthenticatorISMG; false: for a gateway that leaves it empty

    @property
    def patience_s(self) -> int:
        """How long to wait for an answer: T of CMPP is 60 s."""
        return self.answer_s or (60 if self.protocol == "cmpp" else 10)

    def __post_init__(self) -> None:
        bounds.check_name(self.name, "name")
        if self.host:
            bounds.check_host(self.host, f"host of link {self.name}")
        bounds.check_networks(self.sources, f"sources of link {self.name}")
        bounds.check_prefixes(self.prefixes, f"prefixes of link {self.name}")


class MessagingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text messages; the gateway is one process."""

    enabled: bool = True  #: run the gateway
    host: str = "127.0.0.1"  #: the address that SMPP and CMPP peers bind to
    smpp_port: PortOrOff = 0  #: for peers that bind to us; 0: off
    cmpp_port: PortOrOff = 0  #: the same for CMPP
    tls_cert: str = ""  #: PEM files: both ports in TLS
    tls_key: str = ""  #: its private key
    sip: bool = True  #: take SIP MESSAGE from voice's peers, and send to them
    sip_priority: bounds.Priority = 0  #: as a link's priority
    sip_port: PortNumber = 5064  #: between Kamailio and the gateway, on 127.0.0.1
    sip_cpim: bool = False  #: send SIP messages in CPIM, and ask what became of them (IMDN)
    join: bool = True  #: put long messages together first; false: pass parts where no rule reads text
    parts_wait_s: bounds.ADay = 300  #: how long the rest of a long message is waited for
    validity_s: bounds.AMonth = 86_400  #: of a message that names none, and the most
    receipt_wait_s: bounds.AMonthOrNone = 86_400  #: after the validity: without a receipt it is unknown then
    pair_per_minute: bounds.Rate = 20  #: messages of one sender to one number; 0: no limit
    number_per_minute: bounds.Rate = 60  #: messages to one number; 0: no limit
    content: Literal["masked", "none", "full"] = "masked"  #: what a record keeps of the text
    hook_networks: list[str] = []  #: private CIDR blocks where tenants' hooks may be; others are refused
    hook_plain_http: bool = False  #: take hooks' URLs without TLS too
    hook_ca: str = ""  #: who signs the hooks' certificates; empty: the system's authorities
    refusal_text: str = ""  #: sent back to a refused sender; empty: nothing
    links: list[MessageLink] = []  #: see below

    def __post_init__(self) -> None:
        bounds.check_host(self.host, "host")
        bounds.check_networks(self.hook_networks, "hook_networks")


class RecorderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    batch_ms: bounds.Milliseconds = 250  #: how often events go to the store
    keep_spool_s: bounds.AYearOrNone = 3_600  #: how long events are kept after they were stored


class RetentionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long ended things are kept; at least half a year, as call records have to be."""

    bindings_days: bounds.KeptDays = 183  #: after their end
    calls_days: bounds.KeptDays = 183  #: after they began
    messages_days: bounds.KeptDays = 183  #: after they came


class PilotConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pilot's calendar (工信部信管函〔2025〕130号). Its rules are asked as soon as ``notice`` is set."""

    notice: str = ""  #: the notice's date, YYYY-MM-DD; empty: the pilot's rules are NOT asked
    preparation_months: bounds.Months = 3  #: carriers open the range
    transition_months: bounds.Months = 3  #: applications are taken
    formal_months: bounds.Months = 24  #: only the approved, only 700
    grace_s: bounds.AYearOrNone = 86_400  #: calls go on for so long after a paper's end
    code_quarantine_days: bounds.DaysOrNone = 90  #: from a code's return to its reuse
    existing_axn: bool = False  #: old numbers outside 700 may be ones that anyone may dial (AXN)

    def __post_init__(self) -> None:
        if self.notice:
            bounds.check_day(self.notice, "notice")

    @property
    def rules(self) -> Rules:
        """What binds and calls ask."""
        if not self.notice:
            return Rules(existing_axn=self.existing_axn)
        spans = (self.preparation_months, self.transition_months, self.formal_months)
        return Rules(
            Calendar(date.fromisoformat(self.notice), *spans), float(self.grace_s), self.existing_axn
        )


class PoolsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How pools of numbers are counted, and when their state is an alert."""

    count_interval_s: bounds.AWeekOrNone = 3_600  #: how often they are counted; 0: never
    count_codes: bounds.Codes = 20  #: of a tenant's codes in the same provinces
    trend_hours: bounds.Hours = 72  #: how far back the forecast looks
    keep_days: bounds.Days = 14  #: how long figures are kept
    low_percent: bounds.Percent = 10  #: alert `low`: so few numbers are free
    horizon_days: bounds.DaysOrNone = 7  #: alert `soon`: used up within so many days


class DualConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acts that one person asks for and another approves: revocation, rotation, real numbers, API keys."""

    valid_s: bounds.ApprovalS = 86_400  #: how long a request can be approved and used


class AuditConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where anchors of the audit trail go besides the home."""

    syslog: str = ""  #: a syslog server (RFC 5424): udp://HOST:PORT, tcp://… or tls://…
    http: str = ""  #: a URL that each anchor is posted to, as JSON
    ca: str = ""  #: file of certificates that are trusted for tls:// and https://; empty: the system's
    required: bool = False  #: true: an act is refused when its anchor cannot be sent
    timeout_s: bounds.SinkS = 2.0  #: how long a sink may take

    def __post_init__(self) -> None:
        for key, schemes in (("syslog", ("udp", "tcp", "tls")), ("http", ("http", "https"))):
            url = getattr(self, key)
            if not url:
                continue
            words = " or ".join(f"{scheme}://" for scheme in schemes)
            try:
                parts = urlsplit(url)
                sound = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
            except ValueError:
                sound = False
            if not sound or not url.isascii() or not url.isprintable() or " " in url:
                raise ValueError(f"{key}: give {words} and a host")
        if self.required and not (self.syslog or self.http):
            raise ValueError("required: give syslog or http as well")


class BackupConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Backups that `qibai backup` makes."""

    folder: str = ""  #: where they go; empty: backups in the home
    keep: bounds.Copies = 7  #: so many stay in that folder; 0: all
    max_age_h: bounds.HoursOrNone = 26  #: an older last backup is a finding; 0: never


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything; ``home`` is the folder that holds keys, data, spool, sockets and logs."""

    home: Path = Path(".qibai")
    node: str = ""
    store: StoreConfig = StoreConfig()
    api: ApiConfig = ApiConfig()
    binding: BindingConfig = BindingConfig()
    voice: VoiceConfig = VoiceConfig()
    messaging: MessagingConfig = MessagingConfig()
    recorder: RecorderConfig = RecorderConfig()
    retention: RetentionConfig = RetentionConfig()
    pilot: PilotConfig = PilotConfig()
    dual: DualConfig = DualConfig()
    audit: AuditConfig = AuditConfig()
    pools: PoolsConfig = PoolsConfig()
    backup: BackupConfig = BackupConfig()

    @property
    def node_number(self) -> int:
        """0 to 127, part of the ids of this node's calls."""
        own = self.voice.node_number
        return node_number(self.node) if own < 0 else own

    @property
    def sip_messages(self) -> bool:
        """Whether voice takes text messages, and the gateway sends them through it."""
        return self.voice.enabled and self.messaging.enabled and self.messaging.sip

    @property
    def key_file(self) -> Path:
        return self.home / "keys.json"

    @property
    def pg_dir(self) -> Path:
        return self.home / "pg"

    @property
    def run_dir(self) -> Path:
        return self.home / "run"

    @property
    def restore_dir(self) -> Path:
        """Where a restore builds what it moves into place at its end, or at the next start."""
        return self.home / "restoring"

    @property
    def spool_dir(self) -> Path:
        return self.home / "spool"

    @property
    def log_dir(self) -> Path:
        return self.home / "log"

    @property
    def file(self) -> Path:
        return self.home / "qibai.toml"


def load(home: Path | str | None = None, environ: dict[str, str] | None = None) -> Config:
    """Read file and environment. Raise ConfigError, whose message names the key that is wrong."""
    from qibai.settings.mistakes import refuse  # noqa: PLC0415  # they need the types above
    from qibai.settings.read import survey  # noqa: PLC0415  # as above

    found = survey(home, environ)
    refuse(found.mistakes)
    return found.config
