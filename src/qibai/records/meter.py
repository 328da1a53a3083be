"""What the recorder measures of calls for ``/metrics``: how they ended, and how long callers waited."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

from qibai.core.calls import CallRow
from qibai.core.events import EndReason
from qibai.core.pilot import document_of
from qibai.core.refusals import EarlyRefusal
from qibai.core.routing import RefusalReason

#: The label ``reason`` is one of these, ``rule`` for a rule of the pilot, or ``other``: so it stays bounded.
REASONS: Final = frozenset(
    {
        *(reason.value for reason in RefusalReason),
        *(reason.value for reason in EarlyRefusal),
        *(reason.value for reason in EndReason),
    }
)
_MICRO: Final = 1_000_000


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
        self.ended: dict[str, int] = {}  #: by reason
        #: From the INVITE to the first ringing (ITU-T E.431 calls it post-selection delay).
        self.post_dial_delay = Buckets.of((0.25, 0.5, 1, 2, 3, 4, 6, 8, 11, 15, 20, 30))
        #: From the INVITE to the answer.
        self.setup = Buckets.of((1, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90))

    def end(self, reason: str) -> None:
        """A call has ended, or was refused, for ``reason``."""
        label = reason if reason in REASONS else "rule" if document_of(reason) else "other"
        self.ended[label] = self.ended.get(label, 0) + 1

    def heard(self, row: CallRow, *, rang: bool, answered: bool) -> None:
        """More is known of a call; ``rang``, ``answered``: these were known before, so they are counted."""
        if row.binding_id is None:  # its beginning is not known
            return
        if row.ringing_at is not None and not rang:
            self.post_dial_delay.observe(max(0.0, (row.ringing_at - row.started_at) / _MICRO))
        if row.answered_at is not None and not answered:
            self.setup.observe(max(0.0, (row.answered_at - row.started_at) / _MICRO))
