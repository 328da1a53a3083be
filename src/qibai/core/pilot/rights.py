"""The rules asked about one code, with all that is known of it and of who holds it."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qibai.core.pilot.calendar import Calendar
from qibai.core.pilot.clock import pilot_time
from qibai.core.pilot.rules import (
    Rule,
    may_bind,
    may_call,
    may_serve_existing,
    operator_lets_bind,
    operator_lets_call,
)
from qibai.core.pilot.standing import CodeStanding, Standing


@dataclass(frozen=True, slots=True)
class CodeRights:
    """A code, its holder's standing under the code's certificate, and its locked numbers.

    ``locks``: serial → whether the lock stops calls too.
    """

    standing: Standing
    code: CodeStanding
    locks: Mapping[int, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """How this deployment asks the pilot's rules.

    Without a calendar the pilot's own rules are not asked; what the operator did (set aside, drain, return,
    lock, cut over) counts all the same. ``grace_s``: calls go on for so long after a paper ended or was
    revoked. ``existing_axn``: an old number may be one that anyone may dial.
    """

    calendar: Calendar | None = None
    grace_s: float = 0.0
    existing_axn: bool = False

    def may_bind(self, rights: CodeRights, now: float, *, province: str | None = None) -> Rule | None:
        """The rule that forbids to bind a number of the code at ``now`` (Unix seconds), or None."""
        if self.calendar is None:
            return operator_lets_bind(rights.code)
        return may_bind(self.calendar, rights.standing, rights.code, pilot_time(now), province=province)

    def may_bind_number(self, rights: CodeRights, serial: int, now: float) -> Rule | None:
        """The same for one number of the code."""
        return Rule.NUMBER_LOCKED if serial in rights.locks else self.may_bind(rights, now)

    def may_call(self, rights: CodeRights | None, serial: int, now: float) -> Rule | None:
        """The rule that forbids to call a bound number, or None. ``rights`` None: nobody holds the code."""
        if rights is None:
            return None if self.calendar is None else Rule.CODE_NOT_OPEN
        if rights.locks.get(serial):
            return Rule.NUMBER_LOCKED
        if self.calendar is None:
            return operator_lets_call(rights.code)
        return may_call(self.calendar, rights.standing, rights.code, pilot_time(now), grace=self.grace_s)

    def may_serve_existing(
        self, standing: Standing, now: float, *, cut_over: bool = False, anyone: bool = False
    ) -> Rule | None:
        """The rule that forbids to call an old middle number outside 700, or None.

        ``cut_over``: its tenant has moved to 700; ``anyone``: it may be dialled by anyone.
        """
        if self.calendar is not None:
            rule = may_serve_existing(self.calendar, standing, pilot_time(now))
            if rule is not None:
                return rule
        if cut_over:
            return Rule.MOVED
        return Rule.AXN_OFF if anyone and not self.existing_axn else None

    def same_until(self, standings: Iterable[Standing], now: float) -> float:
        """Until when (in the rules' time) ``may_bind`` answers as at ``now``, if nothing is changed."""
        if self.calendar is None:
            return float("inf")
        edges = {start for start, _ in self.calendar.starts}
        for one in standings:
            edges |= {at for at in (one.applied_at, one.revoked_at, one.exit_at) if at is not None}
            for span in (one.approval, one.certificate):
                if span is not None:
                    edges |= {span.start, span.end}
        ordered = sorted(edges)
        following = bisect_right(ordered, pilot_time(now))
        return ordered[following] if following < len(ordered) else float("inf")
