"""What the recorder counts of calls for ``/metrics``: where they came from, how they ended, how long it took.

The node that let a call through, or refused it, counts it. Another node may hear of the same call, for
example of its end; that node counts nothing. So the sum over all nodes counts each call once.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from qibai.core.calls import MICROSECONDS, CallRow
from qibai.core.events import EndReason
from qibai.core.figures import STRANGERS, outcome
from qibai.core.pilot import document_of
from qibai.core.refusals import EarlyRefusal
from qibai.core.routing import RefusalReason

#: Labels have a closed list of values, so that a metric never has more series than a database can hold.
#: Why the platform refused a call; the ids of the pilot's rules belong to the list as well.
RULES: Final = frozenset({*(one.value for one in RefusalReason), *(one.value for one in EarlyRefusal)})
#: How a call ended that the platform had let through.
REASONS: Final = RULES | {reason.value for reason in EndReason}
OTHER: Final = "other"
UNKNOWN: Final = "unknown"  #: a peer: the recorder started while the call went on
NO_PEER: Final = "none"  #: a peer: the call ended before it went to one


class Buckets(msgspec.Struct):
    """A histogram: ``counts`` of what is at most each of ``bounds`` (seconds), and last of what is more."""

    bounds: list[float]
    counts: list[int]
    sum: float = 0.0

    @classmethod
    def of(cls, bounds: Sequence[float]) -> "Buckets":
        return cls(list(bounds), [0] * (len(bounds) + 1))

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class CallMeter:
    """Counts since the recorder started."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()  #: by the peer that sent it
        self.refused: Counter[tuple[str, str]] = Counter()  #: by the peer that sent it, rule
        #: By the peer that had it last, outcome, reason.
        self.ended: Counter[tuple[str, str, str]] = Counter()
        self.handed_on: Counter[tuple[str, str]] = Counter()  #: by the peer that failed the call, SIP status
        #: From the INVITE to the first ringing (ITU-T E.431 calls it post-selection delay).
        self.post_dial_delay = Buckets.of((0.25, 0.5, 1, 2, 3, 4, 6, 8, 11, 15, 20, 30))
        #: From the INVITE to the answer.
        self.setup = Buckets.of((1, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90))
        #: From the answer to the end.
        self.duration = Buckets.of((5, 15, 30, 60, 120, 180, 300, 600, 1_200, 1_800, 3_600, 7_200))

    def heard(self, row: CallRow, *, decided: bool, rang: bool, answered: bool) -> None:
        """More is known of a call. ``decided``, ``rang``, ``answered``: this was known and counted before."""
        if row.caller_peer is not None and not decided:
            self.received[_source(row)] += 1
        if row.callee is None:
            return
        if row.ringing_at is not None and not rang:
            self.post_dial_delay.observe(_seconds(row.started_at, row.ringing_at))
        if row.answered_at is not None and not answered:
            self.setup.observe(_seconds(row.started_at, row.answered_at))

    def over(self, row: CallRow) -> None:
        """A call has ended, or was refused, and all is known of it that was written before its end."""
        end = row.end
        if end is None:
            return
        if row.callee is None:
            if row.caller_peer is not None:
                known = end.reason in RULES or document_of(end.reason) is not None
                self.refused[_source(row), end.reason if known else OTHER] += 1
            return  # of another node's call only the end was heard
        answered = row.answered_at is not None
        # Kamailio may have lost the answer. Then a BYE ends a call that nobody answered.
        reason = "no_answer" if end.reason == "answered" and not answered else end.reason
        peer = row.callee_peer or (UNKNOWN if answered else NO_PEER)
        how = outcome(reason, answered=answered, rang=row.ringing_at is not None)
        self.ended[peer, how, reason if reason in REASONS else OTHER] += 1
        for status, _, failed in (line.partition(" ") for line in row.gave_up):
            self.handed_on[failed, status] += 1
        if row.answered_at is not None:
            talked = end.talked_ms / 1_000 if end.talked_ms else _seconds(row.answered_at, end.at)
            self.duration.observe(talked)


def _source(row: CallRow) -> str:
    """The peer that sent the call. Senders that are no peers are one: their addresses have no end."""
    stranger = row.end is not None and row.end.reason == EarlyRefusal.SOURCE_UNKNOWN
    return STRANGERS if stranger else row.caller_peer or UNKNOWN


def _seconds(begin: int, end: int) -> float:
    return max(0.0, (end - begin) / MICROSECONDS)
