"""The first INVITE: decide, and write it anew for the callee's side."""

import time
from dataclasses import dataclass, replace
from typing import Final

from qibai.config import Peer
from qibai.core.errors import BadMessage, QibaiError, StoreUnavailable
from qibai.core.existing import Dialled
from qibai.core.ids import format_id
from qibai.core.numbering import Msisdn
from qibai.core.refusals import EarlyRefusal
from qibai.core.routing import (
    SIP_STATUS,
    Decision,
    Refusal,
    RefusalReason,
    Route,
    RouteRecord,
    SipStatus,
    decide,
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
from qibai.voice.media import MediaUnavailable
from qibai.voice.memory import source_of
from qibai.voice.peers import uri_of
from qibai.voice.refused import may_record, note_early
from qibai.voice.token import DialogState, dialog_of, seal_state
from qibai.voice.worker import ACCEPT, STATE, Worker, end_unanswered

#: Only between ourselves: an INVITE that a peer failed, and the token that it went to that peer with.
RETRY_HEADER: Final = "X-Qibai-Retry"
#: Set with the transaction whose INVITE was sent to ourselves so: its first peer has the call no more.
HANDED_ON: Final = "$avp(qh)"
RETRY_AFTER: Final = "Retry-After: 5\r\n"


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
    ksr = worker.ksr
    strange = unsupported(request)
    if strange:
        worker.let_go(request)
        ksr.hdr.append_to_reply(f"Unsupported: {', '.join(strange)}\r\n")
        ksr.tm.t_reply(420, "Bad Extension")
        if retry is None:
            note_early(worker, EarlyRefusal.EXTENSION_UNSUPPORTED, peer.name, request=request)
        return
    interval = _session_interval(worker, request)
    if interval is None:
        worker.let_go(request)
        ksr.hdr.append_to_reply(f"Min-SE: {worker.voice.min_se_s}\r\n")
        ksr.tm.t_reply(422, "Session Interval Too Small")
        if retry is None:
            note_early(worker, EarlyRefusal.INTERVAL_TOO_SMALL, peer.name, request=request)
        return
    ksr.tm.t_reply(100, "Trying")
    if retry is None and worker.voice.refuse_when_full and not worker.ledger.has_room():
        worker.losses.add("calls_refused_full")
        ksr.hdr.append_to_reply(f"{RETRY_AFTER}Reason: Q.850;cause=41\r\n")
        ksr.tm.t_reply(503, "Service Unavailable")
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


def _decide(worker: Worker, attempt: _Attempt) -> tuple[Decision, RouteRecord | None]:
    called, caller = attempt.called, attempt.caller
    if called is None:
        return Refusal(RefusalReason.NUMBER_MALFORMED), None
    if caller is None:
        return Refusal(RefusalReason.CALLER_UNKNOWN), None
    try:
        record = worker.routes.find(called, caller)
        in_use = record is None and worker.routes.number_in_use(called, attempt.at)
        policy = worker.policy
        return decide(called, caller, record, attempt.at, number_in_use=in_use, policy=policy), record
    except StoreUnavailable:
        return Refusal(RefusalReason.STORE_UNAVAILABLE), None


def _connect(worker: Worker, attempt: _Attempt, route: Route) -> None:
    ksr = worker.ksr
    try:
        retry = attempt.retry
        target = worker.choose_peer() if retry is None else worker.next_peer(retry.callee_peer)
        if target is None:
            raise _NoPeer
        text, token, state = _write(worker, attempt, route, target)
    except BadMessage as exc:
        _refuse_unread(worker, attempt, exc, route.record)
        return
    except (MediaUnavailable, _NoPeer, QibaiError) as exc:
        refusal = (
            Refusal(RefusalReason.STORE_UNAVAILABLE, exc.code)
            if isinstance(exc, QibaiError)
            else Refusal(_FAULTS[type(exc)])
        )
        _refuse(worker, attempt, refusal, refusal.sip, route.record)
        return
    if retry is None:
        worker.ledger.decided(attempt.call_id, attempt.at, route, attempt.peer.name)
        if route.record.from_group:
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
            _connect(worker, replace(attempt, retry=worker.state(token)), route)
            return
        end_unanswered(worker, token, 503)
        worker.let_go(attempt.request)
        ksr.hdr.append_to_reply(f"{RETRY_AFTER}Reason: Q.850;cause=41\r\n")
        ksr.tm.t_reply(503, "Service Unavailable")


_FAULTS: Final[dict[type[Exception], RefusalReason]] = {
    MediaUnavailable: RefusalReason.MEDIA_UNAVAILABLE,
    _NoPeer: RefusalReason.NO_PEER,
}


def _refuse_unread(worker: Worker, attempt: _Attempt, fault: BadMessage, record: RouteRecord | None) -> None:
    """The caller's side is at fault: never 5xx, or it would hold back its other calls."""
    media = fault.status == SIP_STATUS[RefusalReason.MEDIA_REFUSED].status
    refusal = Refusal(RefusalReason.MEDIA_REFUSED if media else RefusalReason.MESSAGE_MALFORMED)
    sip = SipStatus(fault.status, phrase(fault.status), refusal.sip.q850)
    if fault.status == 415:
        worker.ksr.hdr.append_to_reply(ACCEPT)
    _refuse(worker, attempt, refusal, sip, record)


def hand_on(worker: Worker, token: str, status: int) -> bool:
    """In the failure route: the peer is of no use. Send the INVITE as it came to ourselves, with ``token``
    saying which peer failed, with ``status``; it comes in anew and goes to the next. False: there is no next.

    (A failure route can not put a new text in the place of the message, a request route can.)
    """
    state = worker.state(token)
    if worker.next_peer(state.callee_peer) is None:
        return False
    ksr = worker.ksr
    ksr.pv.seti(HANDED_ON, 1)
    ksr.hdr.append(f"{RETRY_HEADER}: {token}\r\n")
    ksr.pv.sets("$du", worker.self_uri)
    ksr.tm.t_on_reply("ksr_reply_invite")
    ksr.tm.t_set_fr((worker.voice.ring_timeout_s + 30) * 1000, 5_000)
    if ksr.tm.t_relay() < 0:
        return False
    worker.ledger.handed_on(state, status)
    return True


def _refuse(
    worker: Worker, attempt: _Attempt, refusal: Refusal, sip: SipStatus, record: RouteRecord | None
) -> None:
    if attempt.retry is not None:
        worker.end(attempt.retry, by="platform", status=sip.status)
    else:
        _note_refusal(worker, attempt, refusal, sip, record)
    worker.let_go(attempt.request)
    header = RETRY_AFTER if sip.status == 503 else ""
    worker.ksr.hdr.append_to_reply(f"{header}Reason: Q.850;cause={sip.q850}\r\n")
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
        sdp = worker.media.offer(description, state, from_caller=True, salt=request.call_id)
    here, place = worker.here(target.transport), uri_host(target.host)
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
