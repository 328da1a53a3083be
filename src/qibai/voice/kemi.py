"""The routing script: Kamailio calls a method here for each message.

Steps of a request: is the peer trusted, is the message well formed, which call does it belong to. Every
callback that Kamailio may look for exists or is switched off in its configuration: a missing one leaves an
exception behind that surfaces elsewhere.
"""

import gc
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import KSR as _kamailio
import phonenumbers  # noqa: F401  # now, not while the first call that needs it waits

from qibai.config import Config, Peer, load
from qibai.core.badge import BADGE_HEADER, is_hangup
from qibai.core.errors import BadMessage, KeyFileError, TokenBroken, TokenUnread
from qibai.core.refusals import EarlyRefusal
from qibai.core.sip import Message
from qibai.core.sip.bare import bare_request, needed_first
from qibai.voice import dialog, messages, replies
from qibai.voice.invite import RETRY_AFTER, RETRY_HEADER, on_invite
from qibai.voice.ksr import Ksr
from qibai.voice.media import MediaUnavailable
from qibai.voice.octets import text_of, writable
from qibai.voice.peers import LOOPBACK
from qibai.voice.refused import note_early
from qibai.voice.variables import HANDED_ON, METHOD, RECEIVED, SOURCE_ADDRESS, TO_TAG, TRANSPORT
from qibai.voice.worker import Worker, parse_request

KSR: Final[Ksr] = _kamailio
_OK = 1
_KEPT_S = 3605  #: so long a peer's TCP connection may be silent
_BADGE = BADGE_HEADER.lower()


class Router:
    """One a process; made before the fork, so it opens nothing until ``child_init``."""

    def __init__(self, home: str) -> None:
        self._config: Config = load(home)
        self._host = ip_address(self._config.voice.host)
        self._own = {ip_address("127.0.0.1"), ip_address("::1"), self._host}
        self._worker: Worker | None = None

    def child_init(self, rank: int) -> int:
        """Called in every process after the fork; those that handle no message make nothing costly here."""
        try:
            self._worker = Worker(KSR, self._config)
        except KeyFileError as exc:
            KSR.err(f"{exc.message}\n")
            return -1
        # What was made so far lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        return 0

    def ksr_received(self, msg: object) -> int:
        """A message that does not begin with a usual Via, before Kamailio reads it, and might drop it."""
        text = text_of(KSR, RECEIVED)
        KSR.pv.sets(RECEIVED, writable(needed_first(text)))
        return _OK

    def ksr_unread(self, msg: object) -> int:
        """A message in which Kamailio did not come as far as From, To, Call-ID or CSeq: it would drop it."""
        KSR.textopsx.msg_set_buffer(writable(needed_first(text_of(KSR))))
        return _OK

    def ksr_request_route(self, msg: object) -> int:
        worker = self._worker
        if worker is None:
            KSR.sl.send_reply(503, "Service Unavailable")
            return _OK
        worker.renew()
        pv = KSR.pv
        address = pv.gete(SOURCE_ADDRESS)
        peer = worker.peers.trusted(address)
        if peer is None:
            peer = self._from_us(address)
        if peer is None:
            if pv.get(TO_TAG):
                worker.lose("requests_of_strangers", f"a request within a call was refused from {address}")
            if pv.get(METHOD) != "ACK":
                note_early(worker, EarlyRefusal.SOURCE_UNKNOWN, address, stranger=True)
                self._answer(worker, lambda: worker.refuse(403, "Forbidden", q850=21))
            return _OK
        self._keep_connection(worker)
        try:
            request = parse_request(text_of(KSR))
        except BadMessage as exc:
            fault = exc
            if pv.get(METHOD) != "ACK":
                note_early(worker, EarlyRefusal.SIP_MALFORMED, peer.name, status=fault.status)
                self._answer(worker, lambda: worker.refuse_unread(fault))
            return _OK
        try:
            self._route(worker, request, peer)
        except Exception as exc:
            KSR.err(f"a request was not handled: {type(exc).__name__}\n")
            if request.method != "ACK":
                note_early(worker, EarlyRefusal.INTERNAL_ERROR, peer.name, request=request)
                worker.refuse(500, "Server Internal Error", q850=41)
        return _OK

    def _keep_connection(self, worker: Worker) -> None:
        """A peer's message has come: its connection, if it came over one, may be silent for an hour."""
        if worker.only_transport != "udp" and KSR.pv.gete(TRANSPORT).lower() != "udp":
            KSR.tcpops.tcp_set_connection_lifetime(_KEPT_S)

    def _answer(self, worker: Worker, refuse: Callable[[], bool]) -> None:
        """Refuse a request that was not read, in no transaction.

        Kamailio makes no reply to one that has From or the like twice, or a line that is no header: then only
        what a reply needs is shown to it. If that cannot be read either, nobody can answer.
        """
        if refuse():
            return
        worker.take_back(bare_request(text_of(KSR)))
        if not refuse():
            worker.lose("requests_unanswerable", "a request had no answer: its headers cannot be read")

    def _with_bare(self, worker: Worker, request: Message, ask: Callable[[], int]) -> int:
        """What tm says of the request at hand; if it cannot read it, of what a reply needs of it.

        A BYE and a CANCEL are taken whatever their other lines look like, and tm reads them all.
        """
        said = ask()
        if said < 0:
            worker.take_back(bare_request(request.text))
            said = ask()
        return said

    def _from_us(self, address: str) -> Peer | None:
        """The recorder, which ends calls from a loopback socket, and the gateway: each shows a badge."""
        return LOOPBACK if ip_address(address) in self._own else None

    def _ends_it(self, worker: Worker, request: Message) -> bool:
        """Whether the recorder sent it. A peer may have our own address, too: the badge decides."""
        token = request.first(_BADGE)
        if not token or ip_address(KSR.pv.gete(SOURCE_ADDRESS)) not in self._own:
            return False
        return is_hangup(token, request.call_id, worker.keys)

    def _route(self, worker: Worker, request: Message, peer: Peer) -> None:
        method = request.method
        tm = KSR.tm
        if method == "CANCEL":
            if self._with_bare(worker, request, tm.t_check_trans) > 0:
                self._with_bare(worker, request, tm.t_relay)
            else:
                worker.refuse(481, "Call/Transaction Does Not Exist")
            return
        try:
            state = dialog.state_of(worker, request)
        except TokenUnread:  # it may well be of a call that stands: a 481 would end one side of it
            if method != "ACK":
                worker.refuse(503, "Service Unavailable", q850=41, header=RETRY_AFTER)
            return
        except TokenBroken:
            state = None
            if method != "ACK":
                worker.refuse(481, "Call/Transaction Does Not Exist")
            return
        ours = state is not None and self._ends_it(worker, request)
        if state is not None and peer is LOOPBACK and not ours:
            worker.lose("requests_of_strangers", "a request within a call was refused from this machine")
            if method != "ACK":
                worker.refuse(403, "Forbidden", q850=21)
            return
        if method == "ACK":
            if tm.t_check_trans() != 0 and state is not None:  # 0: it ends a refused INVITE, and tm took it
                dialog.on_request(worker, request, state, ours=ours)
            return
        if request.max_forwards == 0:
            note_early(worker, EarlyRefusal.TOO_MANY_HOPS, peer.name, request=request)
            worker.refuse(483, "Too Many Hops", q850=25)
            return
        if state is not None:
            if self._with_bare(worker, request, tm.t_newtran) > 0:
                dialog.on_request(worker, request, state, ours=ours)
            return
        if method == "OPTIONS":
            worker.refuse(200, "OK", header=worker.allow)
        elif request.to_tag:
            worker.refuse(481, "Call/Transaction Does Not Exist")
        elif method == "MESSAGE" and worker.gateway_uri is not None:
            messages.on_message(worker, request, peer)
        elif peer is LOOPBACK and RETRY_HEADER.lower() not in request.fields:
            worker.refuse(403, "Forbidden", q850=21)
        elif method != "INVITE":
            worker.refuse(405, "Method Not Allowed", header=worker.allow)
        elif RETRY_HEADER.lower() in request.fields:
            self._retry(worker, request)
        elif worker.has_seen(request):
            note_early(worker, EarlyRefusal.LOOP, peer.name, request=request)
            worker.refuse(482, "Loop Detected", q850=25)
        elif request.uri[:4].lower() not in ("sip:", "sips", "tel:"):
            note_early(worker, EarlyRefusal.SCHEME_UNSUPPORTED, peer.name, request=request)
            worker.refuse(416, "Unsupported URI Scheme", q850=28)
        elif tm.t_newtran() > 0:
            if worker.take_once(request):
                on_invite(worker, request, peer)
            else:
                worker.refuse(482, "Merged Request", q850=25)

    def _retry(self, worker: Worker, request: Message) -> None:
        """An INVITE that we sent to ourselves, since a peer failed it."""
        try:
            state = worker.state(request.first(RETRY_HEADER.lower()) or "")
        except TokenBroken:
            state = None
        near = worker.peers.by_name.get(state.caller_peer) if state else None
        if near is None or ip_address(KSR.pv.gete(SOURCE_ADDRESS)) != self._host:
            worker.refuse(403, "Forbidden", q850=21)
        elif KSR.tm.t_newtran() > 0:
            on_invite(worker, request, near, state)

    def ksr_reply_route(self, msg: object) -> int:
        """Any reply, before its transaction is looked for.

        Kamailio would send a reply without a transaction to its second Via, unchanged: so whoever writes to
        us could have us send what they like to whom they like.
        """
        worker = self._worker
        if worker is None:
            KSR.set_drop()
            return _OK
        worker.renew()
        address = KSR.pv.gete(SOURCE_ADDRESS)
        if worker.peers.trusted(address) is None and self._from_us(address) is None:
            worker.drop_reply("replies_of_strangers", f"from {address}, which is no peer")
            return _OK
        self._keep_connection(worker)
        if KSR.tm.t_check_trans() < 0:
            if worker.peers.trusted(address) is not None and self._is_late(worker):
                KSR.set_drop()
                return _OK
            worker.drop_reply("replies_unmatched", f"from {address}: it belongs to no transaction")
        return _OK

    def _is_late(self, worker: Worker) -> bool:
        try:
            return messages.on_late_reply(worker, text_of(KSR))
        except Exception as exc:
            KSR.err(f"a late reply was not read: {type(exc).__name__}\n")
            return False

    def ksr_reply_invite(self, msg: object) -> int:
        # tm keeps the route that a branch was made with, so an INVITE that was handed on is recognised here.
        if not KSR.pv.get(HANDED_ON):
            return self._reply(replies.on_invite_reply, replies.put_unusable)
        if ip_address(KSR.pv.gete(SOURCE_ADDRESS)) == self._host:
            return _OK  # by the next peer, and written for the caller already
        return self._reply(replies.on_failed_peer_reply)

    def ksr_reply_retried(self, msg: object) -> int:
        """A reply to a MESSAGE that was handed on, written for its sender already; or by the failed peer."""
        if ip_address(KSR.pv.gete(SOURCE_ADDRESS)) == self._host:
            return _OK
        return self._reply(messages.on_failed_peer_reply)

    def ksr_reply_message(self, msg: object) -> int:
        return self._reply(messages.on_reply)

    def ksr_reply_dialog(self, msg: object) -> int:
        return self._reply(replies.on_dialog_reply, replies.put_unusable_in_dialog)

    def _reply(
        self,
        handle: Callable[[Worker, str], None],
        give_up: Callable[[Worker, Exception], None] = replies.put_bare,
    ) -> int:
        if self._worker is None:
            return -255
        try:
            handle(self._worker, text_of(KSR))
        except Exception as exc:  # whatever it was: as it came, the reply must not pass
            if not isinstance(exc, BadMessage | TokenBroken | MediaUnavailable):
                KSR.err(f"a reply was not written: {type(exc).__name__}\n")
            self._give_up(give_up, exc)
        return _OK

    def _give_up(self, give_up: Callable[[Worker, Exception], None], why: Exception) -> None:
        worker = self._worker
        if worker is None:
            return
        try:
            give_up(worker, why)
        except Exception as exc:
            KSR.err(f"a reply was not replaced: {type(exc).__name__}\n")
            replies.put_bare(worker)

    def ksr_failure_message(self, msg: object) -> int:
        if self._worker is not None:
            messages.on_failure(self._worker)
        return _OK

    def ksr_failure_sent_message(self, msg: object) -> int:
        if self._worker is not None:
            messages.on_sent_failure(self._worker)
        return _OK

    def ksr_failure_dialog(self, msg: object) -> int:
        if self._worker is not None:
            replies.on_dialog_failure(self._worker)
        return _OK

    def ksr_failure_invite(self, msg: object) -> int:
        if self._worker is not None:
            replies.on_invite_failure(self._worker)
        return _OK
