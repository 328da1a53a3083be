"""Requests within a call: opened by the token in their URI, written anew for the other side."""

from typing import Final

import msgspec

from qibai.core.errors import BadMessage, TokenBroken
from qibai.core.sip import CleanSdp, Message, leg_of_request, next_hop, sdp_of, token_in, write_in_dialog
from qibai.core.sip.address import read_uri
from qibai.core.sip.allow import IN_DIALOG
from qibai.voice.media import MediaUnavailable
from qibai.voice.memory import source_of
from qibai.voice.token import DialogState, seal_state
from qibai.voice.worker import ALLOW, Worker

REQUEST_STATE: Final = "$avp(qr)"  #: the token that a refreshing request came with
OTHER_STATE: Final = "$avp(qo)"  #: the token that the other side gets with it


def state_of(worker: Worker, request: Message) -> DialogState | None:
    """The state in the request URI's token; None when there is no token. Raise TokenBroken."""
    token = token_in(request.uri)
    return None if token is None else worker.state(token)


def on_request(worker: Worker, request: Message, state: DialogState) -> None:
    """Take a request of a running call, in its transaction (an ACK has none)."""
    ksr = worker.ksr
    method = request.method
    if method not in IN_DIALOG:
        worker.refuse(405, "Method Not Allowed", header=ALLOW)
        return
    if method == "INVITE":
        ksr.tm.t_reply(100, "Trying")
    hop, transport = _destination(next_hop(state.leg))
    here = worker.here(transport)
    try:
        token = None
        if method in ("INVITE", "UPDATE"):
            token = seal_state(_turned(request, state), worker.keys)
        text = write_in_dialog(
            request, state.leg, here=here, token=token, sdp=_description(worker, request, state)
        )
    except BadMessage:
        if method != "ACK":
            worker.refuse(483 if request.max_forwards == 0 else 400, "Bad Request")
        return
    except MediaUnavailable:
        if method != "ACK":
            worker.refuse(488 if method == "UPDATE" else 503, "Service Unavailable")
        return
    if method == "BYE":
        worker.media.end(state.media_id)
        by = "caller" if state.from_caller else "callee"
        worker.ledger.ended(state, by=by, reason="answered", status=None, q850=16)
    if method != "ACK":
        worker.keep(request, state, source_of(ksr, request))
        if token is not None:
            ksr.pv.sets(REQUEST_STATE, token_in(request.uri))
            ksr.pv.sets(OTHER_STATE, token)
        ksr.tm.t_on_reply("ksr_reply_dialog")
    worker.send(text, here, hop)
    if ksr.tm.t_relay() < 0 and method != "ACK":
        worker.take_back(request.text)
        ksr.tm.t_reply(503, "Service Unavailable")


def _turned(request: Message, state: DialogState) -> DialogState:
    """What the other side's new token says: the way back to the sender, whose Contact may have changed."""
    leg = leg_of_request(request, routes=state.near_routes)
    return msgspec.structs.replace(
        state, from_caller=not state.from_caller, leg=leg, near_routes=state.leg.routes
    )


def _description(worker: Worker, request: Message, state: DialogState) -> CleanSdp | None:
    text = sdp_of(request)
    if text is None:
        return None
    if request.method == "ACK" or (request.method == "PRACK" and state.offer_in_reply):
        # the answer to an offer that the other side made in a reply
        return worker.media.answer(
            text, state.media_id, offered_by_caller=not state.from_caller, salt=request.call_id
        )
    return worker.media.offer(text, state.media_id, from_caller=state.from_caller, salt=request.call_id)


def _destination(uri: str) -> tuple[str, str]:
    """``$du`` for a URI, which is its host, port and transport alone, and that transport."""
    parts = read_uri(uri)
    if parts is None:
        raise TokenBroken
    transport = "tls" if parts.scheme == "sips" else parts.params.get("transport", "udp").lower()
    port = parts.port or (5061 if transport == "tls" else 5060)
    return f"sip:{parts.host}:{port}" + ("" if transport == "udp" else f";transport={transport}"), transport
