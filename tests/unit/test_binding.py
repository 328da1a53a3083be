"""Bindings: the rules of the modes, the pairs they occupy, and their life."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qibai.core.binding import MAX_GROUP, Messages, Mode, Parties, Status, expiry, status_at
from qibai.core.errors import GroupSizeWrong, LifetimeWrong, ModeMismatch, PartyRepeated, QibaiError
from qibai.core.numbering import Code, Msisdn
from qibai.core.pairs import Group, Middle, forbidden, occupied

A, B, C, D = (Msisdn(f"+861380000000{i}") for i in range(4))
X, Y = Code(1).number(1), Code(1).number(2)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)


def _many(count: int) -> list[Msisdn]:
    return [Msisdn(f"+8613900{i:06d}") for i in range(count)]


def _pairs(mode: Mode, **parties: object) -> list[tuple]:
    everyone = Parties.of(mode, **{"a": None, "members": (), **parties}).everyone  # type: ignore[arg-type]
    return [
        (
            (X, Y)[pair.dialled],
            everyone[pair.caller],
            everyone[pair.callee],
            (X, Y)[pair.shown],
            pair.group is Group.TO,
        )
        for pair in occupied(mode, len(everyone))
    ]


def test_axb_both_dial_x_and_see_x() -> None:
    assert _pairs(Mode.AXB, a=A, b=B) == [(X, A, B, X, False), (X, B, A, X, False)]


def test_axyb_a_dials_x_and_b_dials_y() -> None:
    assert _pairs(Mode.AXYB, a=A, b=B) == [(X, A, B, Y, False), (Y, B, A, X, False)]


def test_gxb_every_member_dials_x_and_b_reaches_the_first() -> None:
    assert _pairs(Mode.GXB, members=[A, C, D], b=B) == [
        (X, A, B, X, False),
        (X, C, B, X, False),
        (X, D, B, X, False),
        (X, B, A, X, True),
    ]


def test_gxyb_b_dials_y() -> None:
    assert _pairs(Mode.GXYB, members=[A, C], b=B) == [
        (X, A, B, Y, False),
        (X, C, B, Y, False),
        (Y, B, A, X, True),
    ]


@pytest.mark.parametrize(
    ("mode", "a", "members", "error", "field"),
    [
        (Mode.AXB, None, [], ModeMismatch, "a"),
        (Mode.AXB, A, [C], ModeMismatch, "members"),
        (Mode.AXYB, None, [A], ModeMismatch, "members"),
        (Mode.GXB, A, [C], ModeMismatch, "a"),
        (Mode.GXB, None, [], GroupSizeWrong, "members"),
        (Mode.GXYB, None, _many(MAX_GROUP + 1), GroupSizeWrong, "members"),
        (Mode.AXB, B, [], PartyRepeated, "b"),
        (Mode.GXB, None, [A, C, A], PartyRepeated, "members"),
        (Mode.GXB, None, [A, B], PartyRepeated, "b"),
    ],
)
def test_parties_that_break_a_rule_are_refused(
    mode: Mode, a: Msisdn | None, members: list[Msisdn], error: type[QibaiError], field: str
) -> None:
    with pytest.raises(error) as caught:
        Parties.of(mode, a=a, members=members, b=B)
    assert caught.value.field == field


@pytest.mark.parametrize("mode", [Mode.GXB, Mode.GXYB])
@pytest.mark.parametrize("count", [1, MAX_GROUP])
def test_groups_of_one_and_of_two_hundred_are_fine(mode: Mode, count: int) -> None:
    assert len(_pairs(mode, members=_many(count), b=B)) == count + 1


@given(st.sampled_from(Mode), st.integers(1, MAX_GROUP))
def test_no_pair_is_occupied_twice_and_every_call_can_be_returned(mode: Mode, count: int) -> None:
    parties = 1 + (count if mode.is_group else 1)
    pairs = occupied(mode, parties)
    routes = {(pair.dialled, pair.caller): pair for pair in pairs}
    assert len(routes) == len(pairs) == parties
    for pair in pairs:
        back = routes[pair.shown, pair.callee]  # the callee dials what they saw
        assert back.shown == pair.dialled
        assert back.group is Group.TO or back.callee == pair.caller


@given(st.sampled_from(Mode), st.integers(1, MAX_GROUP))
def test_what_a_binding_occupies_and_forbids_is_each_of_its_numbers_for_each_of_its_parties(
    mode: Mode, count: int
) -> None:
    """Whoever has one of these numbers elsewhere would call a stranger from there, or see one."""
    parties = 1 + (count if mode.is_group else 1)
    own = [(pair.dialled, pair.caller) for pair in occupied(mode, parties)]
    numbers = {pair.dialled for pair in occupied(mode, parties)}
    assert sorted([*own, *forbidden(mode, parties)]) == sorted(product(numbers, range(parties)))
    assert numbers == ({Middle.X, Middle.Y} if mode.has_y else {Middle.X})


@pytest.mark.parametrize("mode", list(Mode))
def test_who_may_write_is_whose_side_they_are_on(mode: Mode) -> None:
    *near, b = occupied(mode, 3 if mode.is_group else 2)
    assert b.by_b and not any(pair.by_b for pair in near)
    for messages in Messages:
        assert {pair.may_write(messages) for pair in near} == {messages.from_a}
        assert b.may_write(messages) == messages.from_b


@pytest.mark.parametrize(
    ("expires_in", "released_in", "status"),
    [
        (1, None, Status.ACTIVE),
        (0, None, Status.EXPIRED),
        (-1, None, Status.EXPIRED),
        (1, 0, Status.RELEASED),
        (-1, -2, Status.RELEASED),
        (1, 1, Status.ACTIVE),
    ],
)
def test_the_status_at_an_instant(expires_in: int, released_in: int | None, status: Status) -> None:
    released_at = None if released_in is None else NOW + timedelta(microseconds=released_in)
    expires_at = NOW + timedelta(microseconds=expires_in)
    assert status_at(NOW, expires_at=expires_at, released_at=released_at) is status


@pytest.mark.parametrize(
    ("ttl", "expires_at", "end"),
    [
        (None, None, NOW + DAY),
        (timedelta(seconds=1), None, NOW + timedelta(seconds=1)),
        (7 * DAY, None, NOW + 7 * DAY),
        (None, NOW + 7 * DAY, NOW + 7 * DAY),
        (None, datetime(2026, 11, 24, 9, tzinfo=timezone(timedelta(hours=8))), NOW + timedelta(hours=1)),
    ],
)
def test_the_end_of_a_lifetime(ttl: timedelta | None, expires_at: datetime | None, end: datetime) -> None:
    assert expiry(NOW, ttl=ttl, expires_at=expires_at, default=DAY, maximum=7 * DAY) == end


@pytest.mark.parametrize(
    ("ttl", "expires_at", "field"),
    [
        (timedelta(0), None, "ttl"),
        (-DAY, None, "ttl"),
        (7 * DAY + timedelta(microseconds=1), None, "ttl"),
        (None, NOW, "expires_at"),
        (None, NOW + 8 * DAY, "expires_at"),
        (None, datetime(2026, 11, 25), "expires_at"),  # noqa: DTZ001  # the case is the missing offset
        (DAY, NOW + DAY, "expires_at"),
    ],
)
def test_lifetimes_out_of_bounds_are_refused(
    ttl: timedelta | None, expires_at: datetime | None, field: str
) -> None:
    with pytest.raises(LifetimeWrong) as caught:
        expiry(NOW, ttl=ttl, expires_at=expires_at, default=DAY, maximum=7 * DAY)
    assert caught.value.field == field
