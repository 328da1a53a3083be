"""What one Kamailio worker process holds: keys, a database session, a spool file, the peers."""

from functools import cached_property, lru_cache
from typing import Final

from qibai.config import Config, Peer, VoiceConfig
from qibai.core.errors import BadMessage, TokenBroken
from qibai.core.ids import DistinctIds
from qibai.core.sip import Endpoint, Message, mapped, parse, phrase
from qibai.service.decision import Decider
from qibai.settings.live import LiveConfig
from qibai.store.keys import Keyring
from qibai.store.loss_counts import LossCounts
from qibai.store.spool import SpoolWriter
from qibai.voice.ksr import Ksr
from qibai.voice.ledger import Ledger, failure_of
from qibai.voice.media import Media
from qibai.voice.octets import writable
from qibai.voice.peers import Peers, endpoints, uri_of
from qibai.voice.place import take_place
from qibai.voice.refusalrate import RefusalRate
from qibai.voice.request_memo import asked
from qibai.voice.shared import CallMemory
from qibai.voice.token import DialogState, open_state
from qibai.voice.variables import ASKED, DESTINATION, TRANSPORT

ALLOW: Final = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO\r\n"
#: Of bodies, where one of another type was refused.
ACCEPT: Final = "Accept: application/sdp, multipart/mixed\r\nAccept-Encoding: identity\r\n"

_SAID_AGAIN_S: Final = 60
_MERGED: Final = "merged"  #: Kamailio's table of first INVITEs whose transactions are not over

#: A request is read when it comes in and again with each of its replies; a worker often has it still. What is
#: read is never changed.
parse_request = lru_cache(maxsize=1024)(parse)


class Worker:
    """Made after the fork, one a process; the database session opens at the first call."""

    def __init__(self, ksr: Ksr, config: Config) -> None:
        voice = config.voice
        self.ksr = ksr
        self.voice = voice
        self._places_dir, self._node_number = config.run_dir / "places", config.node_number
        self.inside = Endpoint(*voice.inside)
        messaging = config.messaging
        #: Where messages go to; None: they are refused.
        self.gateway_uri = f"sip:127.0.0.1:{messaging.sip_port}" if config.sip_messages else None
        self.gateway_port = messaging.sip_port
        self.allow = ALLOW.replace("INFO", "INFO, MESSAGE") if config.sip_messages else ALLOW
        self.keys = Keyring.load(config.key_file)
        self.decider = Decider(config, self.keys)
        self.routes = self.decider.routes
        self.ledger = Ledger(
            SpoolWriter(config.spool_dir, "voice", lambda: self.losses), self.keys, config.node
        )
        self.memory = CallMemory(ksr)
        self.refusals = RefusalRate(voice.refused_records_per_minute, voice.workers)
        self.media = Media(
            ksr,
            voice.host,
            self.memory,
            anchored=voice.media,
            rtp_only=voice.media_rtp_only,
            control_port=voice.media_ng_port,
        )
        self._live = LiveConfig(config, "kamailio")
        self.endpoints = endpoints(voice)
        self._default = next(iter(self.endpoints.values()))
        #: The transport of every request, where there is but one: then Kamailio need not be asked.
        self.only_transport = next(iter(self.endpoints)) if len(self.endpoints) == 1 else None
        here = self._default
        self.self_uri = f"sip:{here.host}:{here.port};transport={here.transport}"
        self._places = [f" {here.host}:{here.port};" for here in self.endpoints.values()]
        self._take_peers(voice)
        self._states = lru_cache(maxsize=1024)(lambda token: open_state(token, self.keys))

    def renew(self) -> None:
        """Before each message: take over changed peers, and have rtpengine hear what it missed while away."""
        if self._live.look():
            self._take_peers(self._live.config.voice)
        self.media.settle()

    def _take_peers(self, voice: VoiceConfig) -> None:
        self.peers = Peers(voice)
        self.media.learnt_peers = frozenset(p.name for p in voice.peers if p.media_from == "first")
        callable_peers = [peer for peer in voice.peers if peer.priority >= 0]
        self._by_priority = sorted(callable_peers, key=lambda peer: -peer.priority)

    @cached_property
    def _place(self) -> int:
        return take_place(self._places_dir)

    @cached_property
    def losses(self) -> LossCounts:
        """What this process could not keep."""
        return LossCounts(self._places_dir.parent, f"voice-{self._place}")

    @cached_property
    def call_ids(self) -> DistinctIds:
        """Made at the first call: most of Kamailio's processes never see one."""
        return DistinctIds(self._node_number, self._place)

    def state(self, token: str) -> DialogState:
        """What a token of ours says. Raise TokenBroken."""
        return self._states(token)

    def here(self, transport: str) -> Endpoint:
        """Our own address for a side that speaks ``transport``."""
        return self.endpoints.get(transport, self._default)

    def choose_peer(self) -> Peer | None:
        """The live peer of the highest priority, as OPTIONS probes tell; sets ``$du``. None: all are down."""
        if self.ksr.dispatcher.ds_select_dst(1, 8) < 0:
            return None
        return self.peers.at(self.ksr.pv.gete(DESTINATION))

    def next_peer(self, failed: str) -> Peer | None:
        """The live peer to try after the one of that name; None when there is no more."""
        names = [peer.name for peer in self._by_priority]
        if failed not in names:
            return None
        for peer in self._by_priority[names.index(failed) + 1 :]:
            if self.ksr.dispatcher.ds_is_active_uri(1, uri_of(peer)) > 0:
                return peer
        return None

    def has_seen(self, request: Message) -> bool:
        """Whether a request has come round: one of its Vias is ours."""
        return any(place in via for via in request.vias for place in self._places)

    def keep(
        self, request: Message, state: DialogState, source: tuple[str, int] | None, *, retry: bool = False
    ) -> None:
        """Keep with the transaction what replies need of ``request``, which came from ``source``."""
        transport = self.only_transport or (self.ksr.pv.get(TRANSPORT) or "udp").lower()
        text = asked(request, state, transport=transport, source=source, retry=retry)
        self.ksr.pv.sets(ASKED, text)

    def send(self, text: str, here: Endpoint, to: str | None) -> None:
        """Put ``text`` in the place of the message at hand, its next hop ``to`` (None: ``$du`` stays)."""
        ksr = self.ksr
        du = ksr.pv.gete(DESTINATION) if to is None else to
        ksr.textopsx.msg_set_buffer(text)
        # Otherwise Kamailio adds received=<the sender's address> to the Via that stands for the sender.
        ksr.corex.set_source_address(f"{here.transport}:{here.host}:{here.port}")
        # Otherwise a CANCEL that tm makes says From and To as they came in.
        ksr.tm.t_use_uac_headers()
        ksr.pv.sets(DESTINATION, du)

    def end(self, state: DialogState, *, by: str, status: int, reason: str = "") -> None:
        """Note the end of a call that ``status`` ended before an answer; ``reason``: a truer one than its."""
        self.media.end(state)
        usual, q850 = failure_of(status)
        self.ledger.ended(state, by=by, reason=reason or usual, status=status, q850=q850)

    def take_back(self, original: str) -> None:
        """Undo ``send``: a reply of our own shows the headers of the message at hand, and these must be
        the sender's own."""
        self.ksr.textopsx.msg_set_buffer(writable(original))

    def refuse_unread(self, fault: BadMessage, header: str = "") -> bool:
        """Answer a request with a fault of its sender's; the phrase names it. Returns as ``refuse`` does."""
        return self.refuse(fault.status, f"{phrase(fault.status)} ({fault.message})", q850=95, header=header)

    def drop_reply(self, loss: str, why: str) -> None:
        """Let Kamailio forget the reply at hand; ``loss``: what it is counted as."""
        self.ksr.set_drop()
        self.lose(loss, f"a reply was dropped {why}")

    def lose(self, loss: str, what: str) -> None:
        """Count ``loss``, and say so once a minute."""
        self.losses.add(loss)
        if self.memory.is_first(loss, _SAID_AGAIN_S):
            self.ksr.warn(f"{what}; more in this minute are counted alone\n")

    def take_once(self, request: Message) -> bool:
        """Returns False if another transaction that is not over has the same Call-ID, From tag and CSeq.

        Then the request has come on two ways and its second way is to be refused (RFC 3261 §8.2.2.2). Call it
        once for each new transaction; all workers share the table.
        """
        return self.ksr.htable.sht_inc(_MERGED, _identity(request)) <= 1

    def let_go(self, request: Message) -> None:
        """The transaction ends without a call: the same request may be tried again another way."""
        self.ksr.htable.sht_rm(_MERGED, _identity(request))

    def refuse(self, status: int, phrase: str, *, q850: int | None = None, header: str = "") -> bool:
        """Answer the request at hand, in its transaction if there is one. Returns whether one went out."""
        ksr = self.ksr
        extra = header
        if q850 is not None:
            extra += f"Reason: Q.850;cause={q850}\r\n"
        if extra:
            ksr.hdr.append_to_reply(extra)
        return ksr.sl.send_reply(status, phrase) > 0


def _identity(request: Message) -> str:
    return mapped(request.call_id, f"{request.from_tag} {request.cseq}")


def end_unanswered(worker: Worker, token: str, status: int, *, by: str = "platform") -> None:
    """Note the end of a call that nobody answered."""
    try:
        state = worker.state(token)
    except TokenBroken:
        return
    worker.end(state, by=by, status=status)
