"""Every boundary of an application platform's life in the pilot, as a clock in Beijing shows it.

One platform, whose dates all differ: at each second at which anything changes, and at the second before it,
what is said of a bind, of a call, and of a number outside 700.
"""

from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest

from qibai.core.pilot import (
    BEIJING,
    Calendar,
    CodeRights,
    CodeStanding,
    CodeState,
    Rule,
    Rules,
    Span,
    Standing,
    may_serve_existing,
)

CALENDAR = Calendar(date(2025, 7, 15))
RULES = Rules(CALENDAR, timedelta(days=3).total_seconds())


def at(text: str) -> float:
    """Unix seconds of a time in Beijing."""
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp()


STANDING = Standing(
    applied_at=at("2025-11-03 09:30:00"),
    approval=Span.days(date(2026, 2, 1), date(2027, 6, 30)),
    certificate=Span.days(date(2025, 10, 20), date(2026, 12, 31)),
)
RENEWED = Standing(STANDING.applied_at, STANDING.approval, Span.days(date(2025, 10, 20), date(2028, 12, 31)))
LEAVES = Standing(*(getattr(RENEWED, name) for name in ("applied_at", "approval", "certificate")),
                  exit_at=at("2027-03-01 12:00:00"))  # fmt: skip
REVOKED = Standing(*(getattr(RENEWED, name) for name in ("applied_at", "approval", "certificate")),
                   revoked_at=at("2026-08-08 08:08:08"))  # fmt: skip
CODE = CodeStanding(CodeState.IN_USE, frozenset({"44"}))

R = Rule
#: From that second on, until the next line: what forbids a bind, a call, a number outside 700.
TABLES = {
    "as it was granted": (STANDING, [
        ("2025-07-14 00:00:00", R.NOT_OPEN, R.NOT_OPEN, None),
        ("2025-07-15 00:00:00", R.NOT_OPEN, R.NOT_OPEN, None),  # the notice: preparation
        ("2025-10-15 00:00:00", R.NOT_APPLIED, R.NOT_APPLIED, R.NOT_APPLIED),  # transition
        ("2025-10-20 00:00:00", R.NOT_APPLIED, R.NOT_APPLIED, R.NOT_APPLIED),  # the certificate's first day
        ("2025-11-03 09:30:00", None, None, None),  # it has applied
        ("2026-01-15 00:00:00", R.NOT_APPROVED, R.NOT_APPROVED, R.ONLY_700),  # formal pilot
        ("2026-02-01 00:00:00", None, None, R.ONLY_700),  # the approval's first day
        ("2027-01-01 00:00:00", R.NO_CERTIFICATE, None, R.ONLY_700),  # the certificate has ended
        ("2027-01-04 00:00:00", R.NO_CERTIFICATE, R.NO_CERTIFICATE, R.ONLY_700),  # the grace, too
        ("2027-07-01 00:00:00", R.NOT_APPROVED, R.NO_CERTIFICATE, R.ONLY_700),  # and the approval
        ("2027-07-04 00:00:00", R.NOT_APPROVED, R.NOT_APPROVED, R.ONLY_700),
        ("2028-01-15 00:00:00", R.ENDED, R.ENDED, R.ONLY_700),
    ]),
    "with its certificate renewed": (RENEWED, [
        ("2026-02-01 00:00:00", None, None, R.ONLY_700),
        ("2027-01-04 00:00:00", None, None, R.ONLY_700),
        ("2027-07-01 00:00:00", R.NOT_APPROVED, None, R.ONLY_700),
        ("2027-07-04 00:00:00", R.NOT_APPROVED, R.NOT_APPROVED, R.ONLY_700),
    ]),
    "leaving early": (LEAVES, [
        ("2026-02-01 00:00:00", None, None, R.ONLY_700),
        ("2027-03-01 12:00:00", R.EXITED, None, R.ONLY_700),  # what is bound is served to its end
        ("2027-07-01 00:00:00", R.NOT_APPROVED, None, R.ONLY_700),
        ("2027-07-04 00:00:00", R.NOT_APPROVED, R.NOT_APPROVED, R.ONLY_700),
    ]),
    "revoked": (REVOKED, [
        ("2026-02-01 00:00:00", None, None, R.ONLY_700),
        ("2026-08-08 08:08:08", R.REVOKED, None, R.ONLY_700),
        ("2026-08-11 08:08:08", R.REVOKED, R.REVOKED, R.ONLY_700),
        ("2028-01-15 00:00:00", R.ENDED, R.ENDED, R.ONLY_700),
    ]),
}  # fmt: skip

CASES = [
    pytest.param(standing, second, rules, id=f"{name}, {when}, {'before' if second < at(when) else 'at'}")
    for name, (standing, rows) in TABLES.items()
    for place, (when, *rules) in enumerate(rows)
    for second, rules in (  # the row before holds until just before
        [(at(when), rules)] if place == 0 else [(at(when) - 1, list(rows[place - 1][1:])), (at(when), rules)]
    )
]


@pytest.mark.parametrize(("standing", "second", "expected"), CASES)
def test_what_holds_at_the_second_and_at_the_one_before(
    standing: Standing, second: float, expected: list[Rule | None]
) -> None:
    rights = CodeRights(standing, CODE)
    assert [
        RULES.may_bind(rights, second),
        RULES.may_call(rights, 7, second),
        may_serve_existing(CALENDAR, standing, second),
    ] == expected


@pytest.mark.parametrize("name", TABLES)
def test_no_other_second_changes_anything(name: str) -> None:
    """Between the boundaries of a table nothing else happens, looked at each hour and a half."""
    standing, rows = TABLES[name]
    rights = CodeRights(standing, CODE)
    for (start, *expected), (end, *_) in pairwise(rows):
        second = at(start)
        while second < at(end):
            said = [
                RULES.may_bind(rights, second),
                RULES.may_call(rights, 7, second),
                may_serve_existing(CALENDAR, standing, second),
            ]
            assert said == expected, datetime.fromtimestamp(second, BEIJING)
            second += 5_400


@pytest.mark.parametrize("name", TABLES)
def test_what_a_worker_keeps_is_asked_anew_at_each_boundary(name: str) -> None:
    """``same_until`` never leads past a second at which a bind would be answered otherwise."""
    standing, rows = TABLES[name]
    rights = CodeRights(standing, CODE)
    for (start, *_), (end, *_) in pairwise(rows):
        if RULES.may_bind(rights, at(start)) is not RULES.may_bind(rights, at(end)):
            until = RULES.same_until([standing], at(start))
            assert until <= at(end)
