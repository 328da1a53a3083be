"""Calls through a platform of the test's own: numbers, routes in the store, agents, the check for leaks."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from store_rows import group_ends

from database_tools import as_platform
from qibai.config import Config, MessagingConfig, Peer, PilotConfig, StoreConfig, VoiceConfig
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.ids import new_id
from qibai.core.legs import Legs, read_legs
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.core.sip import uri_host
from qibai.core.sip.own import new_branch
from qibai.records.hangup import Hangup, Place
from qibai.sip_client import reply_of
from qibai.store.keys import Keyring, binding_aad
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import Platform, free_port, listening, wait_for
from qibai.testing.ports import media_ports, own_network
from qibai.testing.sipp import Agent, Scenario, run

#: Tests that run at once have addresses of their own, so that none sees another's packets.
_NET = own_network()
HERE = f"{_NET}.0.10"
CALLER_AT = f"{_NET}.21.1"
CALLEE_AT = f"{_NET}.31.1"
STRANGER_AT = f"{_NET}.41.1"
DEAD_AT = f"{_NET}.32.1"  #: nobody is there
A, B, C = Msisdn("+8613812345678"), Msisdn("+8613987654321"), Msisdn("+8613711112222")
CODE = Code(12345678)
TO_GROUP, FROM_GROUP = 1, 2
HOUR = timedelta(hours=1)


def peers(callee_port: int) -> list[Peer]:
    """Where the callers are, and where calls go to."""
    return [
        Peer(name="west", host=CALLEE_AT, port=callee_port),
        Peer(name="east", host=CALLER_AT, priority=-1),
    ]


def voice_config(home: Path, dsn: str, peers: list[Peer], **changes: Any) -> Config:
    """A platform on free ports of loopback."""
    host = changes.get("host", HERE)
    port, media = free_port(host), media_ports()
    wanted: dict[str, Any] = {
        "host": host,
        "udp_port": port,
        "tcp_port": port,
        "ring_timeout_s": 2,
        "probe_interval_s": 0,
        "media_ng_port": free_port("127.0.0.1"),
        "media_port_min": media[0],
        "media_port_max": media[-1],
        "peers": peers,
    }
    return Config(
        home=home,
        node="test",
        store=StoreConfig(dsn=as_platform(dsn)),
        voice=VoiceConfig(**(wanted | changes)),
    )


@dataclass
class Bench:
    """A running platform; each call gets numbers of its own, so that tests do not meet."""

    platform: Platform
    dsn: str
    folder: Path
    caller_at: str
    callee: tuple[str, int]
    keyring: Keyring
    serials: Iterator[int] = field(default_factory=lambda: iter(range(1, 9999)))
    _agents: list[Agent] = field(default_factory=list)

    @property
    def here(self) -> tuple[str, int]:
        voice = self.platform.config.voice
        return voice.host, voice.udp_port or voice.tcp_port

    def number(self) -> Number700:
        """A 700 number that nobody uses yet."""
        return CODE.number(next(self.serials))

    def bind(
        self,
        dialled: Number700,
        caller: Msisdn,
        callee: Msisdn,
        shown: Number700 | None = None,
        *,
        binding_id: int | None = None,
        flags: int = 0,
        ends_in: timedelta = HOUR,
        damage: Callable[[bytes], bytes] = bytes,
    ) -> int:
        """One pair, as the store keeps it; returns the binding's id. ``damage``: to the sealed callee."""
        id = new_id() if binding_id is None else binding_id
        aad = binding_aad(dialled.code.value, id)
        with psycopg.connect(self.dsn) as conn:
            ends = (
                group_ends(conn, self.keyring, dialled, id, ends_in) if flags else datetime.now(UTC) + ends_in
            )
            conn.execute(
                """INSERT INTO route (code, serial, caller_key, binding_id, tenant_id, shown, flags,
                                      max_call_s, ends_at, free_at, callee, caller)
                   VALUES (%s, %s, %s, %s, 1, %s, %s, 3600, %s, %s, %s, %s)""",
                [
                    dialled.code.value,
                    dialled.serial,
                    self.keyring.blind(caller),
                    id,
                    (shown or dialled).serial,
                    flags,
                    ends,
                    ends + timedelta(days=1),
                    damage(self.keyring.seal(str(callee), aad)),
                    self.keyring.seal(str(caller), aad),
                ],
            )
        return id

    def agent(
        self,
        scenario: Scenario,
        name: str,
        at: tuple[str, int],
        *,
        calls: bool = False,
        transport: str = "u1",
        timeout_s: int = 15,
    ) -> Agent:
        """Start one side; one that ``calls`` sends to the platform."""
        agent = run(
            scenario,
            self.folder / f"{len(self._agents):03d}",
            name,
            local=at,
            remote=self.here if calls else None,
            transport=transport,
            timeout_s=timeout_s,
        )
        self._agents.append(agent)
        return agent

    def call(
        self,
        caller: Scenario,
        callee: Scenario | None,
        *,
        parties: tuple[Msisdn, Msisdn] = (A, B),
        transport: str = "u1",
        callee_transport: str = "u1",
        meanwhile: Callable[[], object] = lambda: None,
    ) -> "Seen":
        """Run a call to its end, and check that neither side saw the other's number or address."""
        far = self.agent(callee, "callee", self.callee, transport=callee_transport) if callee else None
        if far is not None:
            wait_for(lambda: listening(self.callee, callee_transport), "the callee")
        at = (self.caller_at, free_port(self.caller_at))
        near = self.agent(caller, "caller", at, calls=True, transport=transport)
        meanwhile()
        try:
            near.wait()
        finally:
            if far is not None:
                far.wait()
        seen = Seen(near.received, far.received if far else [])
        a, b = parties
        places = (
            ({}, {}) if self.caller_at == self.callee[0] else ({"callee": CALLEE_AT}, {"caller": CALLER_AT})
        )
        hidden = LeakChecker({"callee": b}, places[0], [str(a).encode()])
        assert not hidden.scan_text(*seen.caller)
        hidden = LeakChecker({"caller": a}, places[1], [str(b).encode()])
        assert not hidden.scan_text(*seen.callee)
        return seen

    @property
    def latest(self) -> list[Agent]:
        """The two sides of the call at hand."""
        return self._agents[-2:]

    def wait_set_up(self) -> None:
        """Return when the callee of the call at hand has got the ACK."""
        callee = next(agent for agent in reversed(self._agents) if agent.trace.stem == "callee")
        wait_for(lambda: any(text.startswith("ACK ") for text in callee.received), "the ACK")

    def events(self, kind: CallEventKind, called: Number700) -> list[CallEvent]:
        """What the spool says of calls to a number."""
        events = spooled(self.platform)
        ids = {event.call_id for event in events if event.called == called.serial}
        return [event for event in events if event.call_id in ids and event.kind == kind]

    def ends(self, called: Number700) -> list[CallEvent]:
        """The ends of calls to a number, once there is one, which may be after the call's last word."""
        wait_for(lambda: self.events(CallEventKind.ENDED, called), "the end in the spool")
        return self.events(CallEventKind.ENDED, called)

    def close(self) -> None:
        for agent in self._agents:
            agent.stop()


def spooled(platform: Platform) -> list[CallEvent]:
    """What a node's spool says; a line that is being written does not count."""
    return [
        msgspec.json.decode(line[9:], type=CallEvent)
        for file in sorted(platform.config.spool_dir.glob("*"))
        for line in file.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]


@dataclass
class Seen:
    """The messages that each side got."""

    caller: list[str]
    callee: list[str]


class UdpPeer:
    """A peer that answers OPTIONS and BYE, and takes no call."""

    def __init__(self, at: tuple[str, int], invite: bytes = b"486 Busy") -> None:
        self.methods: list[bytes] = []
        self._answers = {b"OPTIONS": b"200 OK", b"BYE": b"200 OK", b"INVITE": invite}
        self._socket = socket.socket(socket.AF_INET6 if ":" in at[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(at)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "UdpPeer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as last:
            last.sendto(b"END", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65_536)
            method = data.partition(b" ")[0]
            if method == b"END":
                return
            self.methods.append(method)
            status = self._answers.get(method)
            if status is not None:
                kept = (b"Via", b"From", b"To", b"Call-ID", b"CSeq")
                lines = [line for line in data.split(b"\r\n") if line.partition(b":")[0] in kept]
                lines = [
                    line + b";tag=busy" if line[:3] == b"To:" and b";tag=" not in line else line
                    for line in lines
                ]
                text = b"\r\n".join([b"SIP/2.0 " + status, *lines, b"Content-Length: 0", b"", b""])
                self._socket.sendto(text, sender)


@contextmanager
def bench(
    folder: Path,
    make_dsn: Callable[[], str],
    make_peers: Callable[[int], list[Peer]] = peers,
    *,
    pilot: PilotConfig | None = None,
    clock: Path | None = None,
    messaging: MessagingConfig | None = None,
    parties_at: tuple[str, str] = (CALLER_AT, CALLEE_AT),
    **changes: Any,
) -> Iterator[Bench]:
    """A running platform with an empty database and new keys; ``clock``: see ``qibai.testing.clock``."""
    home = folder / "home"
    home.mkdir()
    caller_at, callee_at = parties_at
    port = free_port(callee_at)
    dsn = make_dsn()
    config = voice_config(home, dsn, make_peers(port), **changes)
    config = msgspec.structs.replace(
        config,
        pilot=pilot or config.pilot,
        messaging=messaging or MessagingConfig(sip_port=free_port("127.0.0.1")),
    )
    keyring = Keyring.load_or_create(config.key_file)
    with Platform(config, clock=clock) as platform:
        made = Bench(platform, dsn, folder, caller_at, (callee_at, port), keyring)
        try:
            yield made
        finally:
            made.close()


def answering(number: Msisdn) -> Scenario:
    """A callee who rings, answers and waits for BYE."""
    return (
        Scenario(number.national, port=18_000)
        .expect_request("INVITE", first=True)
        .reply(180)
        .pause(20)
        .reply(200, sdp=True, retrans=True)
        .expect_request("ACK")
    )


def calling(number: Msisdn, called: Number700, **more: Any) -> Scenario:
    """A caller who gets an answer."""
    return (
        Scenario(number.national)
        .invite(str(called), **more)
        .expect(100, optional=True)
        .expect(180, optional=True)
        .expect(183, optional=True)
        .expect(200)
        .ack()
    )


async def hang_up(voice: Bench, called: Number700) -> None:
    """End the call as the recorder does."""
    (event,) = voice.events(CallEventKind.ANSWERED, called)
    hangup = Hangup(voice.platform.config.voice, voice.keyring)
    assert await hangup.end(_legs(voice, event))
    hangup.close()


def hang_up_in_turn(voice: Bench, event: CallEvent) -> None:
    """A BYE from loopback to each side, as the event describes them, each once the other is answered."""
    legs = _legs(voice, event)
    six = ":" in voice.here[0]
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("::1" if six else "127.0.0.1", 0))
        ours.settimeout(10)
        for leg in (legs.caller, legs.callee):
            branch = new_branch()
            host, port, *_ = ours.getsockname()
            place = Place("UDP", uri_host(host), port, voice.keyring)
            ours.sendto(place.write("BYE", leg, leg.cseq, branch), voice.here)
            assert reply_of(ours.recv(65_536))[:2] == (branch, 200)


def _legs(voice: Bench, event: CallEvent) -> Legs:
    assert event.legs
    return read_legs(voice.keyring.open(event.legs, binding_aad(event.code, event.call_id)))
