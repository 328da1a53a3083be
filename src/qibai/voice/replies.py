"""Replies: put back what the asking side knows, and note what they mean for the call."""

from typing import Final

import msgspec

from qibai.core.errors import BadMessage
from qibai.core.sip import (
    CleanSdp,
    Endpoint,
    Message,
    leg_of_response,
    parse,
    sdp_of,
    write_bare_response,
    write_response,
)
from qibai.voice.dialog import OTHER_STATE, REQUEST_STATE
from qibai.voice.invite import hand_on
from qibai.voice.legs import asker_leg, legs_of
from qibai.voice.media import MediaUnavailable
from qibai.voice.memory import ASKED, Asked, recalled
from qibai.voice.token import DialogState, seal_state
from qibai.voice.worker import STATE, Worker, end_unanswered, parse_request

_BAD_GATEWAY: Final = 502
_TOLD: Final = "$avp(qt)"  #: how we ended a call ourselves; a 2xx that comes now is too late
_TRYING: Final = "SIP/2.0 100 "
#: A peer that answers so cannot serve the call, but another may.
_UNREACHABLE: Final = frozenset({500, 502, 503, 504})


def on_invite_reply(worker: Worker, text: str) -> None:
    """A reply to the first INVITE."""
    if text.startswith(_TRYING):  # tm passes none of them on
        return
    ksr = worker.ksr
    response = parse(text)
    if response.status == 100:
        return
    known = recalled(ksr.pv.get(ASKED))
    request, state = known.request(), known.state
    near = worker.peers.by_name.get(state.caller_peer) if known.retry else None
    here = worker.here(near.transport if near else known.transport)
    token, sdp = None, None
    if response.status < 300 and response.to_tag and response.first("contact") is not None:
        token = _caller_token(worker, response, known)
        told = ksr.pv.get(_TOLD) if response.status >= 200 else None
        if told:
            _dismiss(worker, response, known, here=here, token=token, told=int(told))
            return
        sdp = _answer(worker, response, known, asked_by_caller=True)
    ksr.textopsx.msg_set_buffer(
        write_response(response, request, here=here, token=token, sdp=sdp, source=known.source)
    )
    _note(worker, request, response, state, token)


def _caller_token(worker: Worker, response: Message, known: Asked) -> str:
    """What the caller's requests of the call are to carry."""
    state = msgspec.structs.replace(
        known.state,
        from_caller=True,
        leg=leg_of_response(response),
        near_routes=known.state.leg.routes,
        offer_in_reply=not known.offer,
    )
    return seal_state(state, worker.keys)


def _dismiss(
    worker: Worker, response: Message, known: Asked, *, here: Endpoint, token: str, told: int
) -> None:
    """An answer that crossed our own end of the call, of which the caller was ``told``: the caller hears
    just that again, and the recorder hangs up on the callee."""
    request, state = known.request(), known.state
    worker.ledger.late(state, asker_leg(worker, request, response, state.caller_peer, token))
    bare = write_bare_response(request, here=here, status=told, source=known.source)
    worker.ksr.textopsx.msg_set_buffer(bare)


def on_dialog_reply(worker: Worker, text: str) -> None:
    """A reply to a request within the call."""
    if text.startswith(_TRYING):
        return
    ksr = worker.ksr
    response = parse(text)
    if response.status == 100:
        return
    known = recalled(ksr.pv.get(ASKED))
    request, state = known.request(), known.state
    here = worker.here(known.transport)
    refreshing = response.status < 300 and request.method in ("INVITE", "UPDATE")
    token, sdp = None, None
    if refreshing and response.first("contact"):
        leg = leg_of_response(response, routes=state.leg.routes)
        renewed = msgspec.structs.replace(state, leg=leg, offer_in_reply=not known.offer)
        token = seal_state(renewed, worker.keys)
    if response.status < 300 and request.method != "BYE":
        sdp = _answer(worker, response, known, asked_by_caller=state.from_caller)
    ksr.textopsx.msg_set_buffer(
        write_response(response, request, here=here, token=token, sdp=sdp, source=known.source)
    )
    if refreshing and response.status >= 200:
        tokens = (token or ksr.pv.get(REQUEST_STATE), ksr.pv.get(OTHER_STATE))
        legs = legs_of(worker, request, response, state, asked_by_caller=state.from_caller, tokens=tokens)
        worker.ledger.refreshed(state, legs, session_seconds(response))


def put_bare(worker: Worker) -> None:
    """In the place of a reply that could not be read or written anew: a failure, or that it is on its way.

    (Kamailio cannot be told to drop it: let be, it passes as it came.)
    """
    ksr = worker.ksr
    request = parse_request(ksr.pv.get("$T_req($mb)"))
    status = int(ksr.pv.get("$rs"))
    bare = write_bare_response(
        request,
        here=worker.here(_arrival(worker)),
        status=status if status < 200 else _BAD_GATEWAY,
        source=_source(worker, request),
    )
    ksr.textopsx.msg_set_buffer(bare)


def on_invite_failure(worker: Worker) -> None:
    """The first INVITE has come to its end without an answer: try the next peer, or note the end."""
    ksr, tm = worker.ksr, worker.ksr.tm
    token = ksr.pv.get(STATE)
    if tm.t_is_canceled() > 0:
        ksr.pv.seti(_TOLD, 487)
        end_unanswered(worker, token, 487, by="caller")
        return
    timed_out, replied = tm.t_branch_timeout() > 0, tm.t_branch_replied() > 0
    status = int(ksr.pv.get("$T_reply_code"))
    unreachable = (timed_out and not replied) or (not timed_out and status in _UNREACHABLE)
    if unreachable and hand_on(worker, token):
        return
    if timed_out:
        ksr.pv.seti(_TOLD, 408 if replied else 503)
    if timed_out and not replied:
        end_unanswered(worker, token, 503)
        ksr.hdr.append_to_reply("Retry-After: 5\r\nReason: Q.850;cause=41\r\n")
        tm.t_reply(503, "Service Unavailable")
    elif timed_out:
        end_unanswered(worker, token, 408)
        ksr.hdr.append_to_reply("Reason: Q.850;cause=19\r\n")
        tm.t_reply(408, "Request Timeout")
    else:
        end_unanswered(worker, token, status, by="callee")


def session_seconds(response: Message) -> int | None:
    """The session interval that was agreed; None when no session timer runs."""
    value = response.first("session-expires")
    if value is None:
        return None
    seconds = value.partition(";")[0].strip()
    return int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) <= 6 else None


def _note(
    worker: Worker, request: Message, response: Message, state: DialogState, caller_token: str | None
) -> None:
    status = response.status
    if status < 200:
        if status in (180, 183):
            worker.ledger.ringing(state)
    elif status < 300 and caller_token is not None:
        tokens = (caller_token, worker.ksr.pv.get(STATE))
        legs = legs_of(worker, request, response, state, asked_by_caller=True, tokens=tokens)
        worker.ledger.answered(state, legs, session_seconds(response))


def _answer(worker: Worker, response: Message, known: Asked, *, asked_by_caller: bool) -> CleanSdp | None:
    text, state = sdp_of(response), known.state
    if text is None:
        return None
    try:
        if not known.offer:  # the request made no offer: this is one
            return worker.media.offer(
                text, state.media_id, from_caller=not asked_by_caller, salt=response.call_id
            )
        return worker.media.answer(
            text, state.media_id, offered_by_caller=asked_by_caller, salt=response.call_id
        )
    except MediaUnavailable:
        # Nothing of the original may pass; without a description the asker ends the call by itself.
        raise BadMessage("the answer could not be anchored") from None


def _arrival(worker: Worker) -> str:
    """The transport on which the request of this transaction came in."""
    if worker.only_transport is not None:
        return worker.only_transport
    return str(worker.ksr.pv.get("$T_req($proto)") or "udp").lower()


def _source(worker: Worker, request: Message) -> tuple[str, int] | None:
    if "rport" not in request.vias[0]:
        return None
    get = worker.ksr.pv.get
    return str(get("$T_req($si)")), int(get("$T_req($sp)"))
