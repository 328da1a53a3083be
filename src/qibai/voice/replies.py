"""Replies: put back what the asking side knows, and note what they mean for the call."""

from typing import Final

import msgspec

from qibai.core.errors import BadMessage
from qibai.core.events import EndReason
from qibai.core.sip import (
    CleanSdp,
    Leg,
    Message,
    leg_of_response,
    mapped,
    parse,
    sdp_of,
    write_bare_response,
    write_response,
)
from qibai.core.sip.salvage import salvaged_leg, status_of
from qibai.voice.dialog import bye_done
from qibai.voice.invite import RETRY_AFTER, hand_on
from qibai.voice.legs import leg_of_asker, legs_of
from qibai.voice.media import MediaUnavailable
from qibai.voice.octets import text_of
from qibai.voice.peers import uri_of
from qibai.voice.request_memo import Asked, asked_of, original_source_of
from qibai.voice.token import DialogState, dialog_of, seal_state
from qibai.voice.variables import (
    DESCRIBED,
    FINAL_STATUS,
    ORIGINAL_MESSAGE,
    ORIGINAL_TRANSPORT,
    OTHER_STATE,
    PASSED,
    REQUEST_STATE,
    SAID,
    STATE,
    STATUS,
    TOLD,
)
from qibai.voice.worker import Worker, end_unanswered, parse_request

_BAD_GATEWAY: Final = 502
_TIMED_OUT: Final = 408
_CANCELLED: Final = 487
_AWAY: Final = 503
_TRYING: Final = "SIP/2.0 100 "
#: A peer that answers so cannot serve the call, but another may.
PEER_FAILURES: Final = frozenset({500, 502, 503, 504})


def on_invite_reply(worker: Worker, text: str) -> None:
    """A reply to the first INVITE by the peer that has the call."""
    if text.startswith(_TRYING):  # tm passes none of them on
        return
    ksr = worker.ksr
    response = parse(text)
    if response.status == 100:
        return
    known = asked_of(ksr)
    request, state = known.request(), known.state
    near = worker.peers.by_name.get(state.caller_peer) if known.retry else None
    here = worker.here(near.transport if near else known.transport)
    token, sdp = None, None
    answered = 200 <= response.status < 300
    if response.status >= 300:
        ksr.pv.seti(SAID, response.status)
    if answered:
        passed = ksr.pv.get(PASSED)
        if ksr.pv.get(TOLD) or (passed and passed != response.to_tag):
            _dismiss(worker, text, known)
            return
        if not response.to_tag:
            raise BadMessage("an answer without a To tag")
    if response.status < 300 and response.to_tag:
        if answered or response.first("contact") is not None:
            token = _caller_token(worker, response, known)
        sdp = _answer(worker, response, known, asked_by_caller=True)
        _check_description(worker, response, known, sdp)
    ksr.textopsx.msg_set_buffer(
        write_response(response, request, here=here, token=token, sdp=sdp, source=known.source)
    )
    _note(worker, request, response, state, token)


def _check_description(worker: Worker, response: Message, known: Asked, sdp: CleanSdp | None) -> None:
    """An answer has to answer the offer, unless a provisional reply of its dialog did (RFC 3261 §13.2.1)."""
    pv = worker.ksr.pv
    described = pv.gete(DESCRIBED).split()
    if response.status < 200:
        if sdp is not None and response.to_tag not in described:
            pv.sets(DESCRIBED, " ".join([*described, response.to_tag]))
    elif known.offer and sdp is None and response.to_tag not in described:
        raise BadMessage("an answer that does not answer the offer")


def on_failed_peer_reply(worker: Worker, text: str) -> None:
    """A reply by a peer that did not answer in time, while the next one has the call: it comes too late."""
    known = asked_of(worker.ksr)
    if 200 <= status_of(text) < 300:
        _dismiss(worker, text, known)
    else:
        _put(worker, known, status_of(text) if status_of(text) < 200 else _TIMED_OUT)


def _caller_token(worker: Worker, response: Message, known: Asked) -> str:
    """What the caller's requests of the call are to carry."""
    callee = worker.peers.by_name.get(known.state.callee_peer)
    if response.first("contact") is not None or callee is None:
        leg = leg_of_response(response)
    else:  # requests then go where the INVITE went
        leg = salvaged_leg(response.text, uri_of(callee)) or leg_of_response(response)
    state = _caller_state(known, leg, early=response.status < 200)
    return seal_state(msgspec.structs.replace(state, offer_in_reply=not known.offer), worker.keys)


def _caller_state(known: Asked, leg: Leg, *, early: bool = False, stray: bool = False) -> DialogState:
    """What the caller's token for the callee's ``leg`` says."""
    ours = known.to_tag or mapped(leg.call_id, leg.remote_tag)
    return msgspec.structs.replace(
        known.state,
        from_caller=True,
        leg=leg,
        near_routes=known.state.leg.routes,
        dialog=dialog_of(known.call_id, ours, known.from_tag),
        early=early,
        stray=stray,
    )


def _dismiss(worker: Worker, text: str, known: Asked, reason: EndReason | None = None) -> None:
    """An answer that the caller does not get: the recorder acknowledges it and hangs up on the callee.

    The caller gets the answer that it has already, or nothing. ``reason``: the session that the answer was to
    change has to end as well.
    """
    state = known.state
    asked_by_caller = not known.to_tag or state.from_caller
    peer = state.callee_peer if asked_by_caller else state.caller_peer
    callee = worker.peers.by_name.get(peer)
    leg = salvaged_leg(text, "" if callee is None else uri_of(callee))
    if leg is None:
        worker.ksr.err("an answer names no dialog: nobody can hang up on its sender\n")
    else:
        if known.to_tag:
            stray = msgspec.structs.replace(state, stray=True)
        else:
            stray = _caller_state(known, leg, stray=True)
        token = seal_state(stray, worker.keys)
        near = state.caller_peer if asked_by_caller else state.callee_peer
        to_tag = known.to_tag or mapped(leg.call_id, leg.remote_tag)
        worker.ledger.late(state, leg_of_asker(worker, known.request(), to_tag, near, token), reason)
    _put(worker, known, worker.ksr.pv.getvn(TOLD, _BAD_GATEWAY))


def _put(worker: Worker, known: Asked, status: int) -> None:
    """Put a response made of the request alone in the place of the reply at hand."""
    near = worker.peers.by_name.get(known.state.caller_peer) if known.retry else None
    here = worker.here(near.transport if near else known.transport)
    bare = write_bare_response(known.request(), here=here, status=status, source=known.source)
    worker.ksr.textopsx.msg_set_buffer(bare)


def put_unusable(worker: Worker, why: Exception) -> None:
    """In the place of a reply to the first INVITE that cannot be passed on.

    A callee who answered so has an open line: it is hung up on, and nobody else is called.
    """
    ksr = worker.ksr
    text = text_of(ksr)
    if not 200 <= status_of(text) < 300:
        put_bare(worker)
        return
    known = asked_of(ksr)
    if not ksr.pv.get(TOLD) and not ksr.pv.get(PASSED):
        reason = _end_reason(why)
        status, q850 = (503, 41) if reason == EndReason.MEDIA_UNAVAILABLE else (_BAD_GATEWAY, 127)
        ksr.pv.seti(TOLD, status)
        worker.media.end(known.state)
        worker.ledger.ended(known.state, by="platform", reason=reason, status=status, q850=q850)
    _dismiss(worker, text, known)


def _end_reason(why: Exception) -> EndReason:
    away = isinstance(why, MediaUnavailable)
    return EndReason.MEDIA_UNAVAILABLE if away else EndReason.ANSWER_UNUSABLE


def put_unusable_in_dialog(worker: Worker, why: Exception) -> None:
    """The same within a call. An INVITE's 2xx leaves the sides with two sessions: the call has to end."""
    ksr = worker.ksr
    text = text_of(ksr)
    known = asked_of(ksr)
    if known.method == "BYE" and status_of(text) >= 200:
        bye_done(worker, known.state, known.from_tag, status_of(text))
    if known.method == "INVITE" and 200 <= status_of(text) < 300:
        _dismiss(worker, text, known, _end_reason(why))
        return
    if known.method != "BYE" and status_of(text) >= 200:  # whoever asked hears that nothing has changed
        worker.media.take_back(known.state, from_caller=known.state.from_caller)
    put_bare(worker)


def on_dialog_reply(worker: Worker, text: str) -> None:
    """A reply to a request within the call."""
    if text.startswith(_TRYING):
        return
    ksr = worker.ksr
    response = parse(text)
    if response.status == 100:
        return
    known = asked_of(ksr)
    request, state = known.request(), known.state
    here = worker.here(known.transport)
    refreshing = response.status < 300 and request.method in ("INVITE", "UPDATE")
    token, sdp = None, None
    if refreshing and (response.first("contact") or response.status >= 200):
        leg = state.leg
        if response.first("contact"):
            leg = leg_of_response(response, routes=state.leg.routes)
        renewed = msgspec.structs.replace(state, leg=leg, offer_in_reply=not known.offer, early=False)
        token = seal_state(renewed, worker.keys)
    if response.status < 300 and request.method != "BYE":
        sdp = _answer(worker, response, known, asked_by_caller=state.from_caller)
    ksr.textopsx.msg_set_buffer(
        write_response(response, request, here=here, token=token, sdp=sdp, source=known.source)
    )
    if 200 <= response.status < 300:
        if request.method == "BYE":
            bye_done(worker, state, known.from_tag, response.status)
        else:
            worker.media.take_back(state, from_caller=state.from_caller)  # if the offer was not answered
    if refreshing and response.status >= 200:
        tokens = (token or ksr.pv.gete(REQUEST_STATE), ksr.pv.gete(OTHER_STATE))
        legs = legs_of(worker, request, response, state, asked_by_caller=state.from_caller, tokens=tokens)
        worker.ledger.refreshed(state, legs, session_seconds(response))


def on_dialog_failure(worker: Worker) -> None:
    """A request within the call was refused, or got no answer in time."""
    ksr = worker.ksr
    known = asked_of(ksr)
    if known.method == "BYE":
        status = _TIMED_OUT if ksr.tm.t_branch_timeout() > 0 else ksr.pv.getvn(FINAL_STATUS, 0)
        bye_done(worker, known.state, known.from_tag, status)
    else:
        worker.media.take_back(known.state, from_caller=known.state.from_caller)


def put_bare(worker: Worker, why: Exception | None = None) -> None:
    """In the place of a reply that could not be read or rewritten: a failure, or that it is on its way.

    (Kamailio cannot be made to drop it: if it is left alone, it passes as it came.)
    """
    ksr = worker.ksr
    request = parse_request(text_of(ksr, ORIGINAL_MESSAGE))
    status = ksr.pv.getvn(STATUS, 0)
    bare = write_bare_response(
        request,
        here=worker.here(_arrival(worker)),
        status=status if status < 200 else _BAD_GATEWAY,
        source=original_source_of(ksr, request),
    )
    ksr.textopsx.msg_set_buffer(bare)


def on_invite_failure(worker: Worker) -> None:
    """The first INVITE has come to its end without an answer: try the next peer, or note the end."""
    ksr, tm = worker.ksr, worker.ksr.tm
    told = ksr.pv.get(TOLD)
    if told:  # the callee answered, and nobody could use it: its end is noted already
        worker.let_go(asked_of(ksr).request())
        if told == _AWAY:  # tm would make 500 of it
            ksr.hdr.append_to_reply(f"{RETRY_AFTER}Reason: Q.850;cause=41\r\n")
            tm.t_reply(_AWAY, "Service Unavailable")
        return
    token = ksr.pv.gete(STATE)
    if tm.t_is_canceled() > 0:
        ksr.pv.seti(TOLD, 487)
        end_unanswered(worker, token, 487, by="caller")
        worker.let_go(asked_of(ksr).request())
        return
    timed_out, replied = tm.t_branch_timeout() > 0, tm.t_branch_replied() > 0
    status = ksr.pv.get(SAID) or ksr.pv.getvn(FINAL_STATUS, 0)
    request = asked_of(ksr).request()
    unreachable = (timed_out and not replied) or (not timed_out and status in PEER_FAILURES)
    if unreachable and hand_on(worker, token, 408 if timed_out else status):
        return
    worker.let_go(request)
    if timed_out:
        ksr.pv.seti(TOLD, 408 if replied else 503)
    if timed_out and not replied:
        end_unanswered(worker, token, 503)
        ksr.hdr.append_to_reply(f"{RETRY_AFTER}Reason: Q.850;cause=41\r\n")
        tm.t_reply(503, "Service Unavailable")
    elif timed_out:
        end_unanswered(worker, token, 408)
        ksr.hdr.append_to_reply("Reason: Q.850;cause=19\r\n")
        tm.t_reply(408, "Request Timeout")
    else:
        # 487 without a CANCEL answers the caller's BYE in the early dialog (RFC 3261 §15.1.2).
        end_unanswered(worker, token, status, by="caller" if status == _CANCELLED else "callee")
        if status == _AWAY:
            # Relayed, it would become 500 (RFC 3261 §16.7). No Retry-After: the fault is the callee's side's,
            # and the caller's carrier must not hold back other calls (§21.5.4).
            ksr.hdr.append_to_reply("Reason: Q.850;cause=41\r\n")
            tm.t_reply(_AWAY, "Service Unavailable")


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
        tokens = (caller_token, worker.ksr.pv.gete(STATE))
        legs = legs_of(worker, request, response, state, asked_by_caller=True, tokens=tokens)
        worker.ksr.pv.sets(PASSED, response.to_tag)
        worker.memory.answered(state.call_id, response.to_tag)
        worker.ledger.answered(state, legs, session_seconds(response))


def _answer(worker: Worker, response: Message, known: Asked, *, asked_by_caller: bool) -> CleanSdp | None:
    text, state = sdp_of(response), known.state
    if text is None:
        return None
    if not known.offer:  # the request made no offer: this is one
        return worker.media.offer(text, state, from_caller=not asked_by_caller, salt=response.call_id)
    return worker.media.answer(text, state, offered_by_caller=asked_by_caller, salt=response.call_id)


def _arrival(worker: Worker) -> str:
    """The transport on which the request of this transaction came in."""
    if worker.only_transport is not None:
        return worker.only_transport
    return (worker.ksr.pv.get(ORIGINAL_TRANSPORT) or "udp").lower()
