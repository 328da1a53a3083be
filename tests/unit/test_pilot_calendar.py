"""The pilot's phases change at 00:00 Beijing time, to the second."""

from datetime import date, datetime

import pytest

from qibai.core.pilot import BEIJING, Calendar, Phase, Span
from qibai.core.pilot.calendar import months_after

NOTICE = date(2025, 7, 15)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp()


@pytest.mark.parametrize(
    ("first_second", "before", "after"),
    [
        ("2025-07-15T00:00:00", Phase.BEFORE, Phase.PREPARATION),
        ("2025-10-15T00:00:00", Phase.PREPARATION, Phase.TRANSITION),
        ("2026-01-15T00:00:00", Phase.TRANSITION, Phase.FORMAL),
        ("2028-01-15T00:00:00", Phase.FORMAL, Phase.ENDED),
    ],
)
def test_boundary_seconds(first_second: str, before: Phase, after: Phase) -> None:
    calendar = Calendar(NOTICE)
    start = at(first_second)
    assert calendar.phase(start - 1) is before
    assert calendar.phase(start - 0.001) is before
    assert calendar.phase(start) is after
    assert calendar.phase(start + 1) is after


def test_the_boundary_is_beijings_midnight_not_utcs() -> None:
    start = datetime.fromisoformat("2026-01-14T16:00:00+00:00").timestamp()
    assert Calendar(NOTICE).phase(start) is Phase.FORMAL
    assert Calendar(NOTICE).phase(start - 1) is Phase.TRANSITION


def test_spans_are_configuration() -> None:
    calendar = Calendar(NOTICE, preparation_months=1, transition_months=0, formal_months=2)
    assert calendar.phase(at("2025-08-14T23:59:59")) is Phase.PREPARATION
    assert calendar.phase(at("2025-08-15T00:00:00")) is Phase.FORMAL
    assert calendar.phase(at("2025-10-15T00:00:00")) is Phase.ENDED


def test_a_negative_span_is_refused() -> None:
    with pytest.raises(ValueError, match="less than no time"):
        Calendar(NOTICE, transition_months=-1)


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2025, 11, 30), 3, date(2026, 2, 28)),
        (date(2023, 11, 30), 3, date(2024, 2, 29)),
        (date(2025, 12, 31), 6, date(2026, 6, 30)),
        (date(2025, 12, 1), 1, date(2026, 1, 1)),
        (date(2025, 1, 31), 0, date(2025, 1, 31)),
    ],
)
def test_months_of_unlike_length(day: date, months: int, expected: date) -> None:
    assert months_after(day, months) == expected


def test_a_certificate_holds_through_its_last_day() -> None:
    span = Span.days(date(2026, 1, 15), date(2026, 12, 31))
    assert not span.holds(at("2026-01-14T23:59:59"))
    assert span.holds(at("2026-01-15T00:00:00"))
    assert span.holds(at("2026-12-31T23:59:59"))
    assert not span.holds(at("2027-01-01T00:00:00"))
