"""How often a person may trace by a party's number."""

from qibai.core.often import wait_s

MINUTE, HOUR = 60.0, 3_600.0


def test_ten_in_an_hour_then_wait_for_the_tenth_to_be_an_hour_old() -> None:
    ages = [MINUTE * n for n in range(1, 11)]
    assert wait_s([]) == 0
    assert wait_s(ages[:9]) == 0
    assert wait_s(ages) == HOUR - 10 * MINUTE
    assert wait_s([age + HOUR for age in ages]) == 0


def test_thirty_in_a_day() -> None:
    ages = [HOUR * (n + 1) / 2 for n in range(30)]
    assert wait_s(ages[:29]) == 0
    assert wait_s(ages) == 24 * HOUR - 15 * HOUR
