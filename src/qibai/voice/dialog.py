"""Requests within a call: the token in their URI opens them; a new request is written for the other side."""

import re
import time
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Final

import msgspec

from qibai.config import Peer
from qibai.core.errors import BadMessage, StoreUnavailable, TokenBroken
from qibai.core.events import EndReason
from qibai.core.legs import ends_dialog
from qibai.core.sip import (
    CleanSdp,
    Message,
    accepted_body,
    leg_of_request,
    mapped,
    next_hop,
    sdp_of,
    token_in,
    write_in_dialog,
)
from qibai.core.sip.address import Uri, read_uri
from qibai.core.sip.allow import IN_DIALOG
from qibai.voice.legs import leg_of_asker
from qibai.voice.media import MediaUnavailable
from qibai.voice.peers import uri_of
from qibai.voice.request_memo import source_of
from qibai.voice.token import DialogState, dialog_of, is_of, seal_state
from qibai.voice.variables import OTHER_STATE, REQUEST_STATE
from qibai.voice.worker import ACCEPT, ALLOW, Worker

_NO_PORT: Final = re.compile(r":0+(?=[;?>]|$)")  # nobody can be reached there
_ASK_AGAIN_S: Final = 10  #: between questions to the store whether a call goes on
_TIMED_OUT: Final = 408
_DEFAULT_PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}


def state_of(worker: Worker, request: Message) -> DialogState | None:
    """The state in the request URI's token; None when there is no token.

    None too for an INVITE without a To tag, which never belongs to a dialog. Raise TokenBroken when the token
    is of another dialog, or of a call long over.
    """
    token = token_in(request.uri)
    if token is None or (request.method == "INVITE" and not request.to_tag):
        return None
    state = worker.state(token)
    if not is_of(request, state):
        raise TokenBroken
    # A BYE is taken at any time: nobody is to keep a line open for want of it.
    if request.method not in ("BYE", "ACK") and state.is_over(time.time(), worker.voice.ring_timeout_s):
        raise TokenBroken
    return state


def on_request(worker: Worker, request: Message, state: DialogState, *, ours: bool = False) -> None:
    """Take a request of a running call, in its transaction (an ACK has none).

    ``ours``: we end the call, or the dialog of an answer that nobody got.
    """
    ksr = worker.ksr
    method = request.method
    if method != "OPTIONS" and method not in IN_DIALOG:
        worker.refuse(405, "Method Not Allowed", header=ALLOW)
        return
    if method != "ACK" and not ours and _is_over(worker, state, method):
        worker.refuse(481, "Call/Transaction Does Not Exist")
        return
    if method == "OPTIONS":  # it asks whether the call is still there (RFC 3261 §11)
        worker.refuse(200, "OK", header=ALLOW)
        return
    if method == "INVITE":
        ksr.tm.t_reply(100, "Trying")
    hop, transport = _destination(worker, state)
    here = worker.here(transport)
    try:
        token = None
        if method in ("INVITE", "UPDATE"):
            token = seal_state(_turned(request, state), worker.keys)
        if method in ("INVITE", "UPDATE") and not accepted_body(request):
            raise BadMessage("a body of a type that is not read", status=415)
        sdp = _description(worker, request, state)
        text = write_in_dialog(request, state.leg, here=here, token=token, sdp=sdp)
    except BadMessage as exc:
        if method != "ACK":
            worker.refuse_unread(exc, header=ACCEPT if exc.status == 415 else "")
        elif state.offer_in_reply:
            _end_unagreed(worker, request, state)
        return
    except MediaUnavailable:
        if method != "ACK":
            worker.refuse(488 if method == "UPDATE" else 503, "Service Unavailable")
        return
    if method == "ACK":
        if sdp is None:  # the other side's offer, if it made any, is not answered
            worker.media.take_back(state, from_caller=not state.from_caller)
    else:
        worker.keep(request, state, source_of(ksr, request))
        if token is not None:
            ksr.pv.sets(REQUEST_STATE, token_in(request.uri) or "")
            ksr.pv.sets(OTHER_STATE, token)
        ksr.tm.t_on_reply("ksr_reply_dialog")
        ksr.tm.t_on_failure("ksr_failure_dialog")
    worker.send(text, here, hop)
    rewrite = partial(write_in_dialog, request, state.leg, token=token, sdp=sdp)
    if not _relayed(worker, state, hop, rewrite) and method != "ACK":
        worker.take_back(request.text)
        if method == "BYE" and not ours:  # whoever hangs up is gone, whatever the answer (RFC 3261 §15.1.1)
            bye_done(worker, state, request.from_tag, _TIMED_OUT)
            ksr.tm.t_reply(_TIMED_OUT, "Request Timeout")
            return
        worker.media.take_back(state, from_caller=state.from_caller)
        ksr.tm.t_reply(503, "Service Unavailable")


def bye_done(worker: Worker, state: DialogState, from_tag: str, status: int) -> None:
    """Note the end of the call when a BYE of the side with ``from_tag`` has brought it about.

    ``status``: what the BYE was answered with. Otherwise the call goes on: the BYE was refused, or ended one
    of several dialogs that a fork made.
    """
    if state.stray or not ends_dialog(status):
        return
    answered_by = worker.memory.answered_by(state.call_id)
    device = state.leg.remote_tag if state.from_caller else from_tag
    if state.early if answered_by is None else device != answered_by:
        return
    by = "caller" if state.from_caller else "callee"
    worker.ledger.hung_up(state, by=by, talked_ms=worker.memory.talked_ms(state.call_id))
    if not state.early:  # an answer crossed an early BYE: its dialog lives until its own BYE (RFC 3261 §15)
        worker.media.end(state)


def _end_unagreed(worker: Worker, request: Message, state: DialogState) -> None:
    """End a call whose ACK answers the other side's offer in a way that cannot be used.

    The other side repeats its 2xx until it gets an ACK: the recorder sends one, and then hangs up on both.
    """
    if not worker.memory.is_first(f"{state.call_id}u", _ASK_AGAIN_S):  # each 2xx brings the same ACK
        return
    near = state.caller_peer if state.from_caller else state.callee_peer
    token = seal_state(msgspec.structs.replace(state, stray=True), worker.keys)
    leg = leg_of_asker(worker, request, request.to_tag, near, token)
    worker.ledger.late(state, leg, EndReason.ANSWER_UNUSABLE)


def _relayed(worker: Worker, state: DialogState, hop: str, rewrite: Callable[..., str]) -> bool:
    """Send the message at hand to ``hop``; if there is no way to it, to the other side's peer itself.

    ``rewrite`` gives the message for another address of ours: the peer may speak another transport.
    """
    ksr = worker.ksr
    if ksr.tm.t_relay() >= 0:
        return True
    peer = _other_peer(worker, state)
    if peer is None or uri_of(peer) == hop:
        return False
    here = worker.here(peer.transport)
    worker.send(rewrite(here=here), here, uri_of(peer))
    return ksr.tm.t_relay() >= 0


def _other_peer(worker: Worker, state: DialogState) -> Peer | None:
    return worker.peers.by_name.get(state.callee_peer if state.from_caller else state.caller_peer)


def _turned(request: Message, state: DialogState) -> DialogState:
    """What the other side's new token says: the way back to the sender, whose Contact may have changed."""
    leg = leg_of_request(request, routes=state.near_routes)
    far = state.leg
    ours = far.local_tag or mapped(request.call_id, request.from_tag)
    return msgspec.structs.replace(
        state,
        from_caller=not state.from_caller,
        leg=leg,
        near_routes=far.routes,
        dialog=dialog_of(far.call_id, ours, far.remote_tag),
        early=False,
    )


def _description(worker: Worker, request: Message, state: DialogState) -> CleanSdp | None:
    if request.method == "ACK" and not state.offer_in_reply:  # nothing is left to agree on
        return None
    text = sdp_of(request)
    if text is None:
        return None
    if request.method == "ACK" or (request.method == "PRACK" and state.offer_in_reply):
        # the answer to an offer that the other side made in a reply
        return worker.media.answer(text, state, offered_by_caller=not state.from_caller, salt=request.call_id)
    return worker.media.offer(text, state, from_caller=state.from_caller, salt=request.call_id)


def _is_over(worker: Worker, state: DialogState, method: str) -> bool:
    """Returns True if the call has ended, as far as this node or the store knows.

    A call that this node saw answered may have ended through another node, so the store is asked, but not
    for each digit of an INFO. For a BYE it is never asked: nobody is to keep a line open for want of it.
    """
    memory, call_id = worker.memory, state.call_id
    if memory.answered_by(call_id) is not None:
        if method == "BYE" or not memory.is_first(f"{call_id}s", _ASK_AGAIN_S):
            return False
    elif memory.is_over(call_id):
        return True
    elif state.early or method == "BYE":
        return False
    try:
        return worker.routes.call_ended(state.code, state.call_id)
    except StoreUnavailable:
        return False


def _destination(worker: Worker, state: DialogState) -> tuple[str, str]:
    """``$du`` for a request to the other side, which is host, port and transport alone, and that transport.

    Where the other side gave a place that we cannot reach, as a host by name or an address of another family,
    or our own address, it is its peer's own address.
    """
    place = next_hop(state.leg)
    parts, peer = read_uri(place), _other_peer(worker, state)
    if peer is not None and (parts is None or _NO_PORT.search(place) or not _reachable(worker, parts)):
        return uri_of(peer), peer.transport
    if parts is None:
        raise TokenBroken
    transport = "tls" if parts.scheme == "sips" else parts.params.get("transport", "udp").lower()
    port = parts.port or _DEFAULT_PORTS.get(transport, 5060)
    return f"sip:{parts.host}:{port}" + ("" if transport == "udp" else f";transport={transport}"), transport


def _reachable(worker: Worker, uri: Uri) -> bool:
    transport = "tls" if uri.scheme == "sips" else uri.params.get("transport", "udp").lower()
    here = worker.endpoints.get(transport)
    if here is None:
        return False
    try:
        address, own = ip_address(uri.host.strip("[]")), ip_address(here.host.strip("[]"))
    except ValueError:
        return False
    if address == own and (uri.port or _DEFAULT_PORTS.get(transport, 5060)) == here.port:
        return False  # a request to ourselves would be taken for one of the other side's
    return address.version == own.version and not (
        address.is_unspecified or address.is_multicast or uri.port > 65_535
    )
