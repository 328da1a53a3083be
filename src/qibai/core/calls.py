"""One record a call: folding its events, in any order and however often they come, into one row.

Every rule is commutative and idempotent: the earliest time wins, a value once known stays, and of two ends
the stronger wins (``end_rank``), then the earlier. The same rules stand in ``store/sql/calls.sql`` for rows
that meet a row already stored.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from qibai.core.events import CallEvent, CallEventKind

#: Reasons of an end that the platform brought about: it wins over the BYEs that it caused.
PLATFORM_ENDS: Final = frozenset({"max_duration", "terminated", "session_expired", "media_timeout"})
#: The reason of an end that nobody saw.
LOST: Final = "lost"


class CallRow(msgspec.Struct, kw_only=True):
    """What is known of one call; times in Unix seconds, numbers sealed."""

    code: int
    id: int
    node: str
    started_at: float  #: of the decision; until that is known, of the earliest event
    tenant_id: int | None = None
    binding_id: int | None = None
    called: int | None = None
    shown: int | None = None
    caller: bytes | None = None
    callee: bytes | None = None
    max_call_s: int | None = None
    ringing_at: float | None = None
    answered_at: float | None = None
    session_expires: int | None = None
    legs: bytes | None = None
    ended_at: float | None = None
    ended_by: str | None = None
    sip_status: int | None = None
    q850: int | None = None
    reason: str | None = None

    @property
    def end_rank(self) -> int:
        """0 none, 1 assumed, 2 seen, 3 brought about by the platform."""
        if self.ended_at is None:
            return 0
        if self.reason == LOST:
            return 1
        return 3 if self.reason in PLATFORM_ENDS else 2


_ONCE: Final = (
    "tenant_id",
    "binding_id",
    "called",
    "shown",
    "caller",
    "callee",
    "max_call_s",
    "session_expires",
    "legs",
)


def row_of(event: CallEvent) -> CallRow:
    """What one event says."""
    row = CallRow(code=event.code, id=event.call_id, node=event.node, started_at=event.at)
    for name in _ONCE:
        setattr(row, name, getattr(event, name))
    if event.kind is CallEventKind.RINGING:
        row.ringing_at = event.at
    elif event.kind is CallEventKind.ANSWERED:
        row.answered_at = event.at
    elif event.kind is CallEventKind.REFRESHED:
        row.session_expires = None  # what was agreed at first stays in the record
    elif event.kind is CallEventKind.ENDED or event.reason is not None:
        row.ended_at = event.at
        row.ended_by = event.ended_by
        row.sip_status = event.sip_status
        row.q850 = event.q850
        row.reason = event.reason
    return row


def merge(row: CallRow, other: CallRow) -> CallRow:
    """Both together, as a new row. ValueError when they are of two calls."""
    if (row.code, row.id) != (other.code, other.id):
        raise ValueError("rows of two calls")
    end = min(row, other, key=_end_order)
    both = msgspec.structs.replace(
        row,
        node=min(row.node, other.node),
        started_at=min(row.started_at, other.started_at),
        ringing_at=_earlier(row.ringing_at, other.ringing_at),
        answered_at=_earlier(row.answered_at, other.answered_at),
        ended_at=end.ended_at,
        ended_by=end.ended_by,
        sip_status=end.sip_status,
        q850=end.q850,
        reason=end.reason,
    )
    for name in _ONCE:
        if getattr(row, name) is None:
            setattr(both, name, getattr(other, name))
    return both


def fold(events: Iterable[CallEvent]) -> list[CallRow]:
    """One row a call, in the order in which the calls first appear."""
    rows: dict[tuple[int, int], CallRow] = {}
    for event in events:
        key = (event.code, event.call_id)
        row = row_of(event)
        known = rows.get(key)
        rows[key] = row if known is None else merge(known, row)
    return list(rows.values())


def _end_order(row: CallRow) -> tuple[int, float, str]:
    return (-row.end_rank, row.ended_at or 0.0, f"{row.reason} {row.ended_by} {row.sip_status} {row.q850}")


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
