"""The calls that run just now, as events tell, and which of them are due to be ended. No I/O.

Events carry times of the wall clock, and somebody may set it while calls go on. So an age is taken from an
event once, when it is heard; from then on ages grow by a clock that nobody sets (see ``SteadyClock``), and
all times in here are that clock's.

A call that has ended is remembered for a while: events come from several files, so its end may be read first.
So memory grows with the calls of the last minutes, by some 190 bytes each, and no further.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from qibai.core.calls import MICROSECONDS, CallKey, CallRow, merge, row_of
from qibai.core.events import CallEvent, CallEventKind, EndReason
from qibai.records.meter import CallMeter

REMEMBER_S: Final = 300.0
UNANSWERED_GRACE_S: Final = 60
SESSION_GRACE_S: Final = 32  #: RFC 4028 §10: the refresher may need a whole transaction
WRITING_S: Final = 5.0  #: an event may be so much older than its line: the decision between takes time
LOST_GRACE_S: Final = 90  #: for an end still to be read, of an over-long call that we have no means to end
_CONNECTED: Final = b""  #: what is kept of a callee: that there is one, so the platform let the call through


@dataclass(frozen=True, slots=True)
class Due:
    """A call to be ended for ``reason``; ``lost``: nothing can be sent, only the record is closed."""

    row: CallRow
    reason: str


class Keeper:
    """Live calls of one node."""

    def __init__(self, ring_timeout_s: int, max_call_s: int, remember_s: float = REMEMBER_S) -> None:
        """``max_call_s``: for calls whose own limit is not known. ``remember_s``: of ended ones."""
        self._remember_s = remember_s
        self._unanswered_s = ring_timeout_s + UNANSWERED_GRACE_S
        self._max_call_s = max_call_s
        self.live: dict[CallKey, CallRow] = {}
        self.late: list[CallEvent] = []  #: answers that came too late; whoever sees to them takes them out
        self.meter = CallMeter()
        self._ended: dict[CallKey, float] = {}  #: in the order in which they were heard of
        #: Calls whose end was heard, and when. They are counted once all is heard that was written before it.
        self._uncounted: dict[CallKey, tuple[float, CallRow]] = {}
        self._ending: set[CallKey] = set()
        self._silent: dict[CallKey, float] = {}

    def hear(
        self, events: Iterable[CallEvent], now: float, *, wall: float, heard_at: float = -math.inf
    ) -> None:
        """Take in events, in any order.

        ``wall``: Unix time now, by the clock of the events' own times. ``heard_at``: when all that had been
        written was heard last. So these events are no older than that; where their times say another thing,
        the wall clock was set in between.
        """
        oldest = now - heard_at + WRITING_S
        for event in events:
            if event.kind is CallEventKind.LATE:
                self.late.append(event)
            else:
                self._add(row_of(event), now, wall, oldest)
        self._count(heard_at)

    def add(self, row: CallRow, now: float, *, wall: float) -> None:
        """Take in what a row of the database tells of a call that runs; see ``hear``.

        An earlier recorder has measured how the call began.
        """
        row.callee = _CONNECTED
        self._add(row, now, wall, math.inf, measured=True)

    def _add(self, row: CallRow, now: float, wall: float, oldest: float, *, measured: bool = False) -> None:
        key = row.key
        known = self._uncounted[key][1] if key in self._uncounted else self.live.get(key)
        if known is None and key in self._ended:
            return
        row.caller = None  # not needed here
        row.callee = None if row.callee is None else _CONNECTED
        _to_steady(row, now, wall, oldest)
        decided = known is not None and known.caller_peer is not None
        through = known is not None and known.callee is not None
        rang = through and known is not None and known.ringing_at is not None
        answered = through and known is not None and known.answered_at is not None
        merged = row if known is None else merge(known, row)
        if not measured:
            self.meter.heard(merged, decided=decided, rang=rang, answered=answered)
        if merged.end is None:
            self.live[key] = merged
        elif key not in self._uncounted:
            self._uncounted[key] = now, merged
            self.forget(key, now)

    def _count(self, heard_at: float) -> None:
        """Count calls whose end was heard before ``heard_at``, when all that had been written was heard."""
        due = itertools.takewhile(lambda one: one[1][0] < heard_at, self._uncounted.items())
        for key, (_, row) in list(due):
            del self._uncounted[key]
            self.meter.over(row)

    def running(self) -> tuple[int, int]:
        """How many calls ring, and how many are answered."""
        answered = sum(row.answered_at is not None for row in self.live.values())
        return len(self.live) - answered, answered

    def forget(self, key: CallKey, now: float) -> None:
        """The call is over."""
        self._ended.setdefault(key, now)
        self.live.pop(key, None)
        self._ending.discard(key)
        self._silent.pop(key, None)

    @property
    def held(self) -> int:
        """How many calls something is kept of, those that have ended among them."""
        return len(
            self.live.keys()
            | self._ended.keys()
            | self._uncounted.keys()
            | self._ending
            | self._silent.keys()
        )

    def forget_old(self, now: float, heard_at: float) -> None:
        """Let go of calls that ended long ago; not of those whose end was heard after ``heard_at``.

        ``heard_at``: when all that had been written was heard last. What was written of a call before its
        end was heard, has been heard by then as well.
        """
        before = min(now - self._remember_s, heard_at)
        for key, _ in list(itertools.takewhile(lambda one: one[1] < before, self._ended.items())):
            del self._ended[key]

    def due(self, now: float) -> Iterator[Due]:
        """Calls whose time is up; each is named once."""
        for key, row in list(self.live.items()):
            reason = None if key in self._ending else self._reason(row, now)
            if reason is not None:
                self._ending.add(key)
                yield Due(row, reason)

    def claim(self, key: CallKey) -> CallRow | None:
        """The answered call of that key, to be ended now; None when it does not run or is being ended."""
        row = self.live.get(key)
        if row is None or row.answered_at is None or key in self._ending:
            return None
        self._ending.add(key)
        return row

    def knows(self, key: CallKey) -> bool:
        """Whether the call runs, or ended a short while ago."""
        return key in self.live or key in self._ended

    def is_ending(self, key: CallKey) -> bool:
        """Whether the call was named as due or claimed."""
        return key in self._ending

    def with_media(self) -> list[tuple[CallKey, str]]:
        """Answered calls that rtpengine should know."""
        return [
            (key, row.media_id)
            for key, row in self.live.items()
            if row.media_id is not None and row.answered_at is not None and key not in self._ending
        ]

    def media_gone(self, key: CallKey, gone: bool, now: float, patience_s: float) -> bool:
        """Note whether the call's media are gone; returns whether they were for ``patience_s`` seconds.

        A single look is not enough: rtpengine forgets a call just before its end is written.
        """
        if not gone or key not in self.live:
            self._silent.pop(key, None)
            return False
        return now - self._silent.setdefault(key, now) >= patience_s

    def _reason(self, row: CallRow, now: float) -> EndReason | None:
        if row.answered_at is None:
            heard = row.ringing_at or row.started_at
            return EndReason.LOST if now - heard / MICROSECONDS > self._unanswered_s else None
        answered = row.answered_at / MICROSECONDS
        longest = row.max_call_s or self._max_call_s
        if now - answered >= longest:
            if row.legs is not None:
                return EndReason.MAX_DURATION
            return EndReason.LOST if now - answered >= longest + LOST_GRACE_S else None
        if row.session_expires and row.refreshed_at is not None:
            silent = now - row.refreshed_at / MICROSECONDS - row.session_expires - SESSION_GRACE_S
            if silent >= 0:
                return EndReason.SESSION_EXPIRED if row.legs is not None else EndReason.LOST
        return None


def _to_steady(row: CallRow, now: float, wall: float, oldest: float) -> None:
    """Turn times of the wall clock into ours. What is not 0 to ``oldest`` seconds old happened just now."""
    just_now, shift = round(now * MICROSECONDS), round((now - wall) * MICROSECONDS)

    def steady(at: int) -> int:
        return at + shift if 0 <= wall - at / MICROSECONDS <= oldest else just_now

    row.started_at = steady(row.started_at)
    row.ringing_at = None if row.ringing_at is None else steady(row.ringing_at)
    row.answered_at = None if row.answered_at is None else steady(row.answered_at)
    row.refreshed_at = None if row.refreshed_at is None else steady(row.refreshed_at)
    row.end = None if row.end is None else row.end._replace(at=steady(row.end.at))
