"""The first INVITE: decide, and write a new one for the callee's side."""

import time
from dataclasses import dataclass, replace
from typing import Final

from qibai.config import Peer
from qibai.core.errors import BadMessage, KeyUnknown, QibaiError, StoreUnavailable
from qibai.core.existing import Dialled
from qibai.core.ids import format_id
from qibai.core.numbering import Msisdn
from qibai.core.refusals import EARLY_STATUS, EarlyRefusal
from qibai.core.routing import (
    SIP_STATUS,
    Refusal,
    RefusalReason,
    Route,
    RouteRecord,
    SipStatus,
)
from qibai.core.sip import (
    Message,
    accepted_body,
    called_number,
    callee_uri,
    caller_identity,
    leg_of_request,
    mapped,
    new_call_id,
    phrase,
    sdp_of,
    shown_uri,
    unsupported,
    uri_host,
    write_invite,
)
from qibai.service.decision import Decided
from qibai.voice.media import MediaUnavailable
from qibai.voice.peers import uri_of
from qibai.voice.refused import may_record, note_early
from qibai.voice.request_memo import source_of
from qibai.voice.token import DialogState, dialog_of, seal_state
from qibai.voice.variables import DESTINATION, HANDED_ON, STATE
from qibai.voice.worker import ACCEPT, Worker, end_unanswered

#: Only between ourselves: an INVITE that a peer failed, and the token that it went to that peer with.
RETRY_HEADER: Final = "X-Qibai-Retry"
#: Set with the transaction whose INVITE was sent to ourselves so: its first peer has the call no more.
RETRY_AFTER: Final = "Retry-After: 5\r\n"
_AWAY: Final = SipStatus(503, "Service Unavailable", 41)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One INVITE that asks for a decision."""

    request: Message
    peer: Peer
    call_id: int
    at: float
    interval: int  #: of the session timer, seconds
    called: Dialled | None
    caller: Msisdn | None
    source: tuple[str, int] | None  #: where the INVITE came from, when its sender wants to know
    retry: DialogState | None = None


class _NoPeer(Exception):
    """No peer answers."""


def on_invite(worker: Worker, request: Message, peer: Peer, retry: DialogState | None = None) -> None:
    """Take an INVITE that starts a call, in its transaction, and connect or refuse it.

    ``retry``: a peer failed it, and this is what was known of the call.
    """
    try:
        _take(worker, request, peer, retry)
    except Exception as exc:
        if retry is None:  # nothing was decided: who called notes it
            worker.let_go(request)
            raise
        _fail(worker, request, retry, exc)


def _take(worker: Worker, request: Message, peer: Peer, retry: DialogState | None) -> None:
    ksr = worker.ksr
    strange = unsupported(request)
    if strange:
        header = f"Unsupported: {', '.join(strange)}\r\n"
        _refuse_early(worker, request, peer, EarlyRefusal.EXTENSION_UNSUPPORTED, retry, header)
        return
    interval = _session_interval(worker, request)
    if interval is None:
        header = f"Min-SE: {worker.voice.min_se_s}\r\n"
        _refuse_early(worker, request, peer, EarlyRefusal.INTERVAL_TOO_SMALL, retry, header)
        return
    ksr.tm.t_reply(100, "Trying")
    if retry is None and worker.voice.refuse_when_full and not worker.ledger.has_room():
        worker.losses.add("calls_refused_full")
        _say_no(worker, request, _AWAY)
        return
    called = called_number(request)
    caller = caller_identity(request, trust_asserted=True)
    if retry is None:
        call_id, at = worker.call_ids.new(), time.time()
    else:
        call_id, at = retry.call_id, retry.started_at
    source = source_of(ksr, request)
    attempt = _Attempt(request, peer, call_id, at, interval, called, caller, source, retry)
    decision, record = _decide(worker, attempt)
    try:
        if isinstance(decision, Route) and not accepted_body(request):
            raise BadMessage("a body of a type that is not read", status=415)
    except BadMessage as exc:
        _refuse_unread(worker, attempt, exc, record)
        return
    if isinstance(decision, Refusal):
        _refuse(worker, attempt, decision, decision.sip, record)
    else:
        _connect(worker, attempt, decision)


def _decide(worker: Worker, attempt: _Attempt) -> Decided:
    try:
        return worker.decider.decide(attempt.called, attempt.caller)
    except StoreUnavailable as exc:
        return Decided(Refusal(_FAULTS[type(exc)]))


def _connect(worker: Worker, attempt: _Attempt, route: Route) -> None:
    try:
        retry = attempt.retry
        target = worker.choose_peer() if retry is None else worker.next_peer(retry.callee_peer)
        if target is None:
            raise _NoPeer
        text, token, state = _write(worker, attempt, route, target)
    except BadMessage as exc:
        _refuse_unread(worker, attempt, exc, route.record)
        return
    except (StoreUnavailable, MediaUnavailable, _NoPeer) as exc:
        refusal = Refusal(_FAULTS[type(exc)])
        _refuse(worker, attempt, refusal, refusal.sip, route.record)
        return
    if retry is None:
        worker.ledger.decided(attempt.call_id, attempt.at, route, attempt.peer.name)
    try:
        _send(worker, attempt, route, target, text, token)
    except Exception as exc:  # the decision is on record: so must be what became of it
        _fail(worker, attempt.request, state, exc)


def _send(  # noqa: PLR0917
    worker: Worker, attempt: _Attempt, route: Route, target: Peer, text: str, token: str
) -> None:
    """Send the INVITE to the peer whose call it is now."""
    ksr, retry, state = worker.ksr, attempt.retry, worker.state(token)
    if retry is None and route.record.from_group:
        _touch(worker, route.record)
    ksr.pv.sets(STATE, token)
    worker.keep(attempt.request, state, attempt.source, retry=retry is not None)
    worker.send(text, worker.here(target.transport), uri_of(target))
    ksr.tm.t_on_reply("ksr_reply_invite")
    ksr.tm.t_on_failure("ksr_failure_invite")
    if ksr.tm.t_relay() < 0:
        worker.take_back(attempt.request.text)
        if ksr.tm.t_is_canceled() > 0:  # the CANCEL was quicker, and tm has answered both
            end_unanswered(worker, token, 487, by="caller")
            return
        if worker.next_peer(target.name) is not None:
            worker.ledger.handed_on(state, 503)
            _connect(worker, replace(attempt, retry=state), route)
            return
        _say_no(worker, attempt.request, _AWAY, state)


_FAULTS: Final[dict[type[Exception], RefusalReason]] = {
    StoreUnavailable: RefusalReason.STORE_UNAVAILABLE,
    KeyUnknown: RefusalReason.KEY_UNKNOWN,
    MediaUnavailable: RefusalReason.MEDIA_UNAVAILABLE,
    _NoPeer: RefusalReason.NO_PEER,
}


def _refuse_unread(worker: Worker, attempt: _Attempt, fault: BadMessage, record: RouteRecord | None) -> None:
    """The caller's side is at fault: never 5xx, or it would hold back its other calls."""
    media = fault.status == SIP_STATUS[RefusalReason.MEDIA_REFUSED].status
    refusal = Refusal(RefusalReason.MEDIA_REFUSED if media else RefusalReason.MESSAGE_MALFORMED)
    sip = SipStatus(fault.status, phrase(fault.status), refusal.sip.q850)
    _refuse(worker, attempt, refusal, sip, record, ACCEPT if fault.status == 415 else "")


def hand_on(worker: Worker, token: str, status: int) -> bool:
    """In the failure route: the peer cannot be used. Send the INVITE as it came to ourselves, with ``token``
    saying which peer failed, with ``status``; it comes in again and goes to the next. False: there is none.

    (A failure route can not put a new text in the place of the message, a request route can.)
    """
    state = worker.state(token)
    if worker.next_peer(state.callee_peer) is None:
        return False
    ksr = worker.ksr
    ksr.pv.seti(HANDED_ON, 1)
    ksr.hdr.append(f"{RETRY_HEADER}: {token}\r\n")
    ksr.pv.sets(DESTINATION, worker.self_uri)
    ksr.tm.t_on_reply("ksr_reply_invite")
    ksr.tm.t_set_fr((worker.voice.ring_timeout_s + 30) * 1000, 5_000)
    if ksr.tm.t_relay() < 0:
        return False
    worker.ledger.handed_on(state, status)
    return True


def _refuse(  # noqa: PLR0917
    worker: Worker,
    attempt: _Attempt,
    refusal: Refusal,
    sip: SipStatus,
    record: RouteRecord | None,
    header: str = "",
) -> None:
    """By a decision, or for want of what it takes to carry the decision out."""
    if attempt.retry is None:
        _note_refusal(worker, attempt, refusal, sip, record)
    _say_no(worker, attempt.request, sip, attempt.retry, header=header)


def _refuse_early(  # noqa: PLR0917
    worker: Worker,
    request: Message,
    peer: Peer,
    reason: EarlyRefusal,
    retry: DialogState | None,
    header: str,
) -> None:
    """Before a decision."""
    if retry is None:
        note_early(worker, reason, peer.name, request=request)
    _say_no(worker, request, EARLY_STATUS[reason], retry, header=header)


def _fail(worker: Worker, request: Message, state: DialogState, why: Exception) -> None:
    """A fault of our own, after the decision: the one record says so."""
    worker.ksr.err(f"a call was not handed over: {type(why).__name__}\n")
    worker.take_back(request.text)
    _say_no(
        worker,
        request,
        EARLY_STATUS[EarlyRefusal.INTERNAL_ERROR],
        state,
        reason=EarlyRefusal.INTERNAL_ERROR,
    )


def _say_no(
    worker: Worker,
    request: Message,
    sip: SipStatus,
    decided: DialogState | None = None,
    *,
    reason: str = "",
    header: str = "",
) -> None:
    """The one way that the first INVITE of a call is refused.

    ``decided``: the call that the INVITE is of, when its record and its media have begun: both end here, with
    ``reason`` or with what ``sip`` stands for.
    """
    if decided is not None:
        worker.end(decided, by="platform", status=sip.status, reason=reason)
    worker.let_go(request)
    again = RETRY_AFTER if sip.status == _AWAY.status else ""
    worker.ksr.hdr.append_to_reply(f"{header}{again}Reason: Q.850;cause={sip.q850}\r\n")
    worker.ksr.tm.t_reply(sip.status, sip.phrase)


def _note_refusal(
    worker: Worker, attempt: _Attempt, refusal: Refusal, sip: SipStatus, record: RouteRecord | None
) -> None:
    if not may_record(worker, attempt.peer.name):
        return
    worker.ledger.refused(
        attempt.call_id,
        attempt.at,
        called=attempt.called,
        caller=attempt.caller,
        record=record,
        refusal=refusal,
        sip=sip,
        caller_peer=attempt.peer.name,
    )


def _write(worker: Worker, attempt: _Attempt, route: Route, target: Peer) -> tuple[str, str, DialogState]:
    """The INVITE for the callee's side, the callee's token, and what it says."""
    record, request = route.record, attempt.request
    code = record.code
    call_id = new_call_id()
    callee = worker.routes.open_callee(record)
    media_id = format_id("c", code, attempt.call_id) if worker.media.anchored else ""
    state = DialogState(
        from_caller=False,
        leg=leg_of_request(request),
        near_routes=(),
        code=code,
        binding_id=record.binding_id,
        call_id=attempt.call_id,
        tenant_id=record.tenant_id,
        started_at=int(attempt.at),
        max_call_s=route.max_call_s,
        session_expires=attempt.interval,
        media_id=media_id,
        caller_peer=attempt.peer.name,
        callee_peer=target.name,
        dialog=dialog_of(call_id, mapped(request.call_id, request.from_tag)),
    )
    token = seal_state(state, worker.keys)
    description = sdp_of(request)
    sdp = None
    if description is not None:
        if worker.media.anchored and not request.from_tag:  # as in RFC 2543; rtpengine knows sides by tags
            raise BadMessage("From has no tag")
        sdp = worker.media.offer(description, state, from_caller=True, salt=request.call_id)
    here, place = worker.here(target.transport), uri_host(target.host)
    try:
        text = write_invite(
            request,
            here=here,
            target=callee_uri(callee, target.number_format, place, target.port, target.transport),
            to=callee_uri(callee, target.number_format, place),
            shown=shown_uri(record.shown, target.number_format, here.host),
            call_id=call_id,
            token=token,
            sdp=sdp,
            session_expires=attempt.interval,
            min_se=worker.voice.min_se_s,
        )
    except Exception:
        if sdp is not None:  # nobody else knows yet that rtpengine holds ports for this call
            worker.media.end(state)
        raise
    return text, token, state


def _session_interval(worker: Worker, request: Message) -> int | None:
    """Seconds of the session timer (RFC 4028): the caller's wish or ours; None when the wish is too small."""
    wish = request.first("session-expires")
    least = worker.voice.min_se_s
    if wish is None:
        floor = request.first("min-se") or ""
        asked = int(floor) if floor.isascii() and floor.isdigit() and len(floor) <= 6 else 0
        return max(worker.voice.session_expires_s, least, asked)
    seconds = wish.partition(";")[0].strip()
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 6):
        return worker.voice.session_expires_s
    return int(seconds) if int(seconds) >= least else None


def _touch(worker: Worker, record: RouteRecord) -> None:
    try:
        worker.routes.touch_group(record)
    except QibaiError:  # the call goes on; B's next call reaches the member who called before
        worker.ksr.info("a group's last caller could not be noted\n")
