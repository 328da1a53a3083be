"""Fold call events into one record a call.

Folding is commutative, associative and idempotent: events may come late, twice and in any order, in any
split over batches, and the record comes out the same. So each field has a rule that asks for no order: the
earliest time, the smallest value (where two differ at all), the latest refresh and what came with it, the end
that ranks first.
Two processes may take a call's 180 and its 200 or CANCEL at once and note them the wrong way round: a call
that rang did so no later than it was answered, and both came no later than an end that was seen.
``store/sql/calls.sql`` has the same rules for rows that meet a row already stored.

An end that was seen ranks before one that was assumed (``lost``), and of two that were seen the earlier one
is true. That also settles what happens when the platform ends a call: its end carries the time before its two
BYEs were sent, so it is earlier than the ends that these BYEs bring about, whichever is read first.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from qibai.core.events import CallEvent, CallEventKind, EndReason

PLATFORM: Final = "platform"
MICROSECONDS: Final = 1_000_000

CallKey = tuple[int, int]  #: (code, call id)


class End(NamedTuple):
    """How a call ended; the smallest is the one to believe. Unknown text is empty, unknown numbers are 0."""

    assumed: bool
    at: int
    by_party: bool
    by: str
    reason: str
    sip_status: int
    q850: int
    talked_ms: int  #: since the answer, by a clock that nobody sets


class CallRow(msgspec.Struct, kw_only=True):
    """What is known of one call so far. Times are Unix microseconds; numbers and ``legs`` are sealed."""

    code: int
    id: int
    node: str
    started_at: int  #: of the decision; until that is known, of the earliest event
    tenant_id: int | None = None
    binding_id: int | None = None
    called: int | None = None
    shown: int | None = None
    dialled: bytes | None = None  #: an old number outside 700; then there is no ``called``
    caller: bytes | None = None
    callee: bytes | None = None
    ringing_at: int | None = None
    answered_at: int | None = None
    refreshed_at: int | None = None  #: answered, or the session refreshed, whichever was last
    session_expires: int = 0  #: seconds, as last agreed; 0 when no session timer runs
    max_call_s: int | None = None
    media_id: str | None = None
    caller_peer: str | None = None  #: or the address of a sender that is no peer
    callee_peer: str | None = None  #: that had the call last; None until the call is answered or ends
    gave_up: tuple[str, ...] = ()  #: peers that failed the call before, each after its SIP status; in order
    legs: bytes | None = None  #: of the latest refresh; kept while the call runs
    end: End | None = None

    @property
    def key(self) -> CallKey:
        return (self.code, self.id)


def row_of(event: CallEvent) -> CallRow:
    """What one event alone says of its call."""
    at = round(event.at * MICROSECONDS)
    row = CallRow(
        code=event.code,
        id=event.call_id,
        node=event.node,
        started_at=at,
        tenant_id=event.tenant_id,
        binding_id=event.binding_id,
        called=event.called,
        shown=event.shown,
        dialled=event.dialled,
        caller=event.caller,
        callee=event.callee,
        max_call_s=event.max_call_s,
        media_id=event.media_id,
        caller_peer=event.caller_peer,
        callee_peer=event.callee_peer,
        gave_up=() if event.gave_up is None else (event.gave_up,),
    )
    match event.kind:
        case CallEventKind.RINGING:
            row.ringing_at = at
        case CallEventKind.ANSWERED:
            row.answered_at = at
            row.legs = event.legs
            row.refreshed_at, row.session_expires = at, event.session_expires or 0
        case CallEventKind.REFRESHED:
            row.legs = event.legs
            row.refreshed_at, row.session_expires = at, event.session_expires or 0
        case CallEventKind.ENDED | CallEventKind.REFUSED:
            row.end = _end_of(event, at)
        case CallEventKind.DECIDED if event.reason is not None:  # refused: decided and over in one
            row.end = _end_of(event, at)
    return row


def merge(one: CallRow, other: CallRow) -> CallRow:
    """Add to ``one`` what ``other`` knows of the same call, and return it."""
    one.started_at, one.node = min((one.started_at, one.node), (other.started_at, other.node))
    one.tenant_id = _least(one.tenant_id, other.tenant_id)
    one.binding_id = _least(one.binding_id, other.binding_id)
    one.called = _least(one.called, other.called)
    one.shown = _least(one.shown, other.shown)
    one.max_call_s = _least(one.max_call_s, other.max_call_s)
    one.ringing_at = _least(one.ringing_at, other.ringing_at)
    one.answered_at = _least(one.answered_at, other.answered_at)
    one.dialled = _least_bytes(one.dialled, other.dialled)
    one.caller = _least_bytes(one.caller, other.caller)
    one.callee = _least_bytes(one.callee, other.callee)
    one.media_id = _least_text(one.media_id, other.media_id)
    one.caller_peer = _least_text(one.caller_peer, other.caller_peer)
    one.callee_peer = _least_text(one.callee_peer, other.callee_peer)
    if other.gave_up:
        one.gave_up = tuple(sorted({*one.gave_up, *other.gave_up}))
    if other.refreshed_at is not None:
        one.refreshed_at, one.session_expires, _, one.legs = max(
            (row.refreshed_at or 0, row.session_expires, row.legs is not None, row.legs)
            for row in (one, other)
        )
    if other.end is not None:
        one.end = other.end if one.end is None else min(one.end, other.end)
    if one.end is not None:
        one.legs = None
    _put_in_order(one)
    return one


def fold(events: Iterable[CallEvent]) -> dict[CallKey, CallRow]:
    """One row for each call that ``events`` speak of."""
    rows: dict[CallKey, CallRow] = {}
    for event in events:
        row = row_of(event)
        known = rows.get(row.key)
        if known is None:
            rows[row.key] = row
        else:
            merge(known, row)
    return rows


def _put_in_order(row: CallRow) -> None:
    """An assumed end moves no time: an end that was seen may replace it, and that may be later."""
    end = row.end.at if row.end is not None and not row.end.assumed else None
    if row.answered_at is not None:
        row.answered_at = _least(row.answered_at, end)
    if row.ringing_at is not None:
        row.ringing_at = _least(_least(row.ringing_at, row.answered_at), end)


def _end_of(event: CallEvent, at: int) -> End:
    by = event.ended_by or ""
    reason = event.reason or ""
    numbers = event.sip_status or 0, event.q850 or 0, event.talked_ms or 0
    return End(reason == EndReason.LOST, at, by != PLATFORM, by, reason, *numbers)


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _least_text(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _least_bytes(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
