"""Figures of pools from counts of some codes, their forecast, and when they are an alert."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qibai.core.pools import ALL, Alert, Cell, CodeCount, Figure, Stratum, alert, exhausted_at, figures

DAY = 86_400.0


def test_numbers_add_up_by_tenant_province_and_scene() -> None:
    south = Stratum(1, ("44",), True, 2, [CodeCount(100, 50, 3, {"food": (60, 50), "ride": (40, 0)})] * 2)
    both = Stratum(1, ("31", "44"), True, 1, [CodeCount(10, 0, 0, {"food": (10, 0)})])
    found = figures([south, both])
    assert found[Cell(1, ALL, ALL)] == Figure(30_000, 29_684, 210, 100, 6)
    assert found[Cell(1, "44", ALL)] == found[Cell(1, ALL, ALL)]
    assert found[Cell(1, "31", ALL)] == Figure(10_000, 9_990, 10, 0, 0)
    assert found[Cell(1, "44", "food")] == Figure(30_000, 29_684, 130, 100, 6)
    assert found[Cell(1, "44", "ride")] == Figure(30_000, 29_684, 80, 0, 6)
    assert Cell(1, "31", "ride") not in found


def test_codes_that_were_not_counted_are_taken_to_be_like_those_that_were() -> None:
    found = figures([Stratum(1, ("44",), True, 1_000, [CodeCount(100, 0, 0), CodeCount(300, 0, 0)])])
    assert found[Cell(1, ALL, ALL)] == Figure(10_000_000, 9_800_000, 200_000, 0, 0)


def test_what_may_not_be_bound_is_locked_but_for_what_is_bound_or_rests() -> None:
    found = figures([Stratum(1, ("44",), False, 1, [CodeCount(100, 50, 7)])])
    assert found[Cell(1, ALL, ALL)] == Figure(10_000, 0, 100, 50, 9_850)


counts = st.integers(0, 3_000)
codes = st.builds(CodeCount, counts, counts, counts)


@given(st.lists(st.builds(Stratum, st.just(1), st.just(("44",)), st.booleans(), st.integers(5, 10**5),
                          st.lists(codes, max_size=5)), min_size=1))  # fmt: skip
def test_each_number_is_one_of_the_four(strata: list[Stratum]) -> None:
    for one in figures(strata).values():
        assert one.free + one.bound + one.quarantined + one.locked == one.total
        assert min(one.free, one.bound, one.quarantined, one.locked) >= 0


@pytest.mark.parametrize(
    ("used", "free", "days"),
    [
        ((1_000, 1_100, 1_200), 500, 5.0),  # a hundred a day
        ((1_000, 1_000, 1_000), 500, None),
        ((1_200, 1_100, 1_000), 500, None),
        ((1_000, 1_100), 500, None),  # two points are no trend
        ((1_000, 1_100, 1_200), 0, 0.0),
        ((1_000, 1_050, 1_000, 1_050), 900, 90.0),  # ups and downs: ten a day
    ],
)
def test_the_forecast_follows_the_trend_of_use(used: tuple[int, ...], free: int, days: float | None) -> None:
    now = (len(used) - 1) * DAY
    ends = exhausted_at([(day * DAY, count) for day, count in enumerate(used)], free, now)
    assert ends is None if days is None else ends == pytest.approx(now + days * DAY, rel=1e-3)


@pytest.mark.parametrize(
    ("free", "ends", "expected"),
    [
        (500, None, None),
        (500, 8 * DAY, None),
        (500, 6 * DAY, Alert.SOON),
        (100, None, None),
        (99, 6 * DAY, Alert.LOW),
        (0, 0.0, Alert.EXHAUSTED),
    ],
)
def test_an_alert_by_share_and_by_forecast(free: int, ends: float | None, expected: Alert | None) -> None:
    figure = Figure(1_000, free, 1_000 - free, 0, 0)
    assert alert(figure, ends, 0.0, low=0.1, horizon_s=7 * DAY) is expected
