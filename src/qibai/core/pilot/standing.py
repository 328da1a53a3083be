"""What an application platform and one of its codes are entitled to, as far as the rules need to know."""

from dataclasses import dataclass
from datetime import date, timedelta

from qibai.core.pilot.calendar import midnight
from qibai.core.pilot.life import CodeState


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` until just before ``end``, in Unix seconds."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ValueError("a span ends after it starts")

    @classmethod
    def days(cls, first: date, last: date) -> "Span":
        """All of the days ``first`` to ``last``, as a certificate prints them, in Beijing time."""
        return cls(midnight(first), midnight(last + timedelta(days=1)))

    def holds(self, now: float) -> bool:
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class Standing:
    """An application platform's rights. Times are Unix seconds; None: it never happened.

    ``exit_at`` is when an early exit takes effect: from then on nothing
    new is bound, and what is bound runs out.
    """

    applied_at: float | None = None
    approval: Span | None = None  #: 试点批文
    certificate: Span | None = None  #: 码号资源使用证书
    revoked_at: float | None = None
    exit_at: float | None = None


@dataclass(frozen=True, slots=True)
class CodeStanding:
    """What is known of one code. ``provinces``: where its carrier has opened it (GB/T 2260, two digits)."""

    state: CodeState
    provinces: frozenset[str]
    locked: bool = False  #: set aside by an operator: live bindings go on, nothing new is bound
