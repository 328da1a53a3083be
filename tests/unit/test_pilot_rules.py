"""Each rule of the pilot on both sides of its boundary second, for binds, calls and old numbers."""

from dataclasses import replace
from datetime import date, datetime

import pytest

from qibai.core.pilot import (
    BEIJING,
    OPERATOR,
    Calendar,
    CodeStanding,
    CodeState,
    Rule,
    Span,
    Standing,
    may_bind,
    may_call,
    may_serve_existing,
)

CALENDAR = Calendar(date(2025, 7, 15))
GRACE = 3_600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp()


OPENING = at("2025-10-15T00:00:00")
FORMAL = at("2026-01-15T00:00:00")
END = at("2028-01-15T00:00:00")
MIDWAY = at("2026-06-01T12:00:00")

GOOD = Standing(
    applied_at=OPENING,
    approval=Span(FORMAL, END),
    certificate=Span(OPENING, END),
)
CODE = CodeStanding(CodeState.IN_USE, frozenset({"11", "44"}))


def bind(
    now: float, standing: Standing = GOOD, code: CodeStanding = CODE, province: str | None = None
) -> Rule | None:
    return may_bind(CALENDAR, standing, code, now, province=province)


def call(
    now: float, standing: Standing = GOOD, code: CodeStanding = CODE, grace: float = GRACE
) -> Rule | None:
    return may_call(CALENDAR, standing, code, now, grace=grace)


def test_the_approved_may_bind_and_be_called_from_the_opening_to_the_end() -> None:
    for now in (OPENING, FORMAL - 1, FORMAL, MIDWAY, END - 1):
        assert bind(now) is None
        assert call(now) is None


@pytest.mark.parametrize(
    ("now", "rule"), [(OPENING - 1, Rule.NOT_OPEN), (0.0, Rule.NOT_OPEN), (END, Rule.ENDED)]
)
def test_nothing_700_outside_the_pilot(now: float, rule: Rule) -> None:
    assert bind(now) is rule
    assert call(now) is rule


def test_in_the_transition_an_application_is_enough() -> None:
    applicant = replace(GOOD, approval=None, applied_at=OPENING + 10)
    assert bind(OPENING + 9, applicant) is Rule.NOT_APPLIED
    assert bind(OPENING + 10, applicant) is None
    assert bind(FORMAL - 1, applicant) is None
    assert bind(FORMAL, applicant) is Rule.NOT_APPROVED
    assert call(FORMAL, applicant) is Rule.NOT_APPROVED


def test_the_certificates_end_stops_binds_at_once_and_calls_after_the_grace() -> None:
    standing = replace(GOOD, certificate=Span(OPENING, MIDWAY))
    assert bind(MIDWAY - 1, standing) is None
    assert bind(MIDWAY, standing) is Rule.NO_CERTIFICATE
    assert call(MIDWAY + GRACE - 1, standing) is None
    assert call(MIDWAY + GRACE, standing) is Rule.NO_CERTIFICATE
    assert call(MIDWAY, standing, grace=0.0) is Rule.NO_CERTIFICATE


def test_a_certificate_does_not_hold_before_its_first_day() -> None:
    standing = replace(GOOD, certificate=Span(MIDWAY, END))
    assert bind(MIDWAY - 1, standing) is Rule.NO_CERTIFICATE
    assert call(MIDWAY - 1, standing) is Rule.NO_CERTIFICATE
    assert bind(MIDWAY, standing) is None


def test_without_a_certificate_nothing_is_bound() -> None:
    assert bind(MIDWAY, replace(GOOD, certificate=None)) is Rule.NO_CERTIFICATE
    assert bind(OPENING, replace(GOOD, certificate=None)) is Rule.NO_CERTIFICATE


def test_the_approvals_end_has_the_same_grace() -> None:
    standing = replace(GOOD, approval=Span(FORMAL, MIDWAY))
    assert bind(MIDWAY, standing) is Rule.NOT_APPROVED
    assert call(MIDWAY + GRACE - 1, standing) is None
    assert call(MIDWAY + GRACE, standing) is Rule.NOT_APPROVED


@pytest.mark.parametrize("now", [OPENING + 100, MIDWAY])
def test_revocation_stops_binds_at_once_and_calls_after_the_grace(now: float) -> None:
    standing = replace(GOOD, revoked_at=now)
    assert bind(now - 1, standing) is None
    assert bind(now, standing) is Rule.REVOKED
    assert call(now + GRACE - 1, standing) is None
    assert call(now + GRACE, standing) is Rule.REVOKED
    assert may_serve_existing(CALENDAR, standing, now) is not None


def test_an_early_exit_drains() -> None:
    standing = replace(GOOD, exit_at=MIDWAY)
    assert bind(MIDWAY - 1, standing) is None
    assert bind(MIDWAY, standing) is Rule.EXITED
    assert call(MIDWAY + 10 * GRACE, standing) is None


@pytest.mark.parametrize(
    ("state", "bind_rule", "call_rule"),
    [
        (CodeState.ASSIGNED, Rule.CODE_NOT_OPEN, Rule.CODE_NOT_OPEN),
        (CodeState.OPENED, None, None),
        (CodeState.IN_USE, None, None),
        (CodeState.DRAINING, Rule.CODE_DRAINING, None),
        (CodeState.RETURNED, Rule.CODE_RETURNED, Rule.CODE_RETURNED),
    ],
)
def test_the_codes_state(state: CodeState, bind_rule: Rule | None, call_rule: Rule | None) -> None:
    code = replace(CODE, state=state)
    assert bind(MIDWAY, code=code) is bind_rule
    assert call(MIDWAY, code=code) is call_rule


def test_a_locked_code_serves_what_is_bound() -> None:
    code = replace(CODE, locked=True)
    assert bind(MIDWAY, code=code) is Rule.CODE_LOCKED
    assert call(MIDWAY, code=code) is None


def test_provinces() -> None:
    assert bind(MIDWAY, province="44") is None
    assert bind(MIDWAY, province="31") is Rule.CODE_NOT_IN_PROVINCE
    assert bind(MIDWAY, code=replace(CODE, provinces=frozenset())) is Rule.CODE_NOT_OPEN


def test_old_numbers_serve_applicants_until_the_transition_ends() -> None:
    stranger = replace(GOOD, applied_at=None)
    assert may_serve_existing(CALENDAR, stranger, OPENING - 1) is None
    assert may_serve_existing(CALENDAR, stranger, OPENING) is Rule.NOT_APPLIED
    assert may_serve_existing(CALENDAR, GOOD, OPENING) is None
    assert may_serve_existing(CALENDAR, GOOD, FORMAL - 1) is None
    assert may_serve_existing(CALENDAR, GOOD, FORMAL) is Rule.ONLY_700
    assert may_serve_existing(CALENDAR, GOOD, END) is Rule.ONLY_700


def test_every_rule_has_an_id_of_its_own_a_sentence_and_its_document() -> None:
    assert len({rule.id for rule in Rule}) == len(Rule)
    for rule in Rule:
        assert rule.text.endswith(".")
        operators = rule in (Rule.CODE_LOCKED, Rule.NUMBER_LOCKED, Rule.AXN_OFF)
        assert rule.document == (OPERATOR if operators else "工信部信管函〔2025〕130号")


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="grace"):
        call(MIDWAY, grace=-1.0)
    with pytest.raises(ValueError, match="ends after"):
        Span(2.0, 2.0)
