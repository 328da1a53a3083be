"""The pilot's phases, computed from the date and the spans of the notice 工信部信管函〔2025〕130号."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from functools import cached_property
from typing import Final

#: China has kept one time, without summer time, since 1992: no time zone database is needed.
BEIJING: Final = timezone(timedelta(hours=8), "Asia/Shanghai")


class Phase(StrEnum):
    """Where the pilot stands at an instant."""

    BEFORE = "before"  #: the notice is not out
    PREPARATION = "preparation"  #: carriers open the range; nothing 700 is connected
    TRANSITION = "transition"  #: applications are taken, existing business moves to 700
    FORMAL = "formal"  #: only approved enterprises, only 700 numbers
    ENDED = "ended"  #: the formal pilot is over


@dataclass(frozen=True)
class Calendar:
    """The notice's date and each phase's length. A phase begins at 00:00 Beijing time of its first day."""

    notice: date
    preparation_months: int = 3
    transition_months: int = 3
    formal_months: int = 24

    def __post_init__(self) -> None:
        if min(self.preparation_months, self.transition_months, self.formal_months) < 0:
            raise ValueError("a phase cannot last less than no time")

    @cached_property
    def starts(self) -> tuple[tuple[float, Phase], ...]:
        """When each phase begins, in Unix seconds, the latest first."""
        months = 0
        begun = []
        for phase, length in (
            (Phase.PREPARATION, self.preparation_months),
            (Phase.TRANSITION, self.transition_months),
            (Phase.FORMAL, self.formal_months),
            (Phase.ENDED, 0),
        ):
            begun.append((midnight(months_after(self.notice, months)), phase))
            months += length
        return tuple(reversed(begun))

    def phase(self, now: float) -> Phase:
        """The phase at ``now`` (Unix seconds)."""
        for start, phase in self.starts:
            if now >= start:
                return phase
        return Phase.BEFORE


def months_after(day: date, months: int) -> date:
    """The same day ``months`` later, or that month's last day where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    month += 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def midnight(day: date) -> float:
    """00:00 Beijing time of ``day``, in Unix seconds."""
    return datetime(day.year, day.month, day.day, tzinfo=BEIJING).timestamp()
