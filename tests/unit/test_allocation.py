"""Draws: any serial can come, the one left out cannot; sticky draws depend on the parties alone."""

from hypothesis import given
from hypothesis import strategies as st

from qibai.core.allocation import Sequence700, random_serial, shuffled
from qibai.core.entropy import Entropy
from qibai.core.numbering import SERIALS_PER_CODE

keys = st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=4, unique=True)
code_lists = st.lists(st.integers(0, 99_999_999), min_size=1, max_size=20, unique=True)
serials = st.integers(0, SERIALS_PER_CODE - 1)


@given(serials)
def test_a_random_serial_is_never_the_one_left_out(but: int) -> None:
    drawn = {random_serial(Entropy(), but) for _ in range(50)}
    assert but not in drawn
    assert all(0 <= serial < SERIALS_PER_CODE for serial in drawn)


@given(keys, code_lists, st.integers(0, 9))
def test_the_order_of_parties_and_codes_does_not_matter(
    parties: list[bytes], codes: list[int], draw: int
) -> None:
    one, other = Sequence700.of(7, parties), Sequence700.of(7, reversed(parties))
    assert one.ranked(codes) == other.ranked(shuffled(codes))
    assert one.first_code(codes) == one.ranked(codes)[0]
    x = one.serial(draw)
    assert x == other.serial(draw)
    y = one.serial(draw, y=True, but=x)
    assert y == other.serial(draw, y=True, but=x) != x


@given(keys, code_lists)
def test_another_code_moves_only_whom_it_wins(parties: list[bytes], codes: list[int]) -> None:
    sequence = Sequence700.of(7, parties)
    assert sequence.first_code(codes) in (sequence.first_code(codes[:-1] or codes), codes[-1])


@given(keys)
def test_other_parties_and_tenants_draw_otherwise(parties: list[bytes]) -> None:
    draws = [
        [sequence.serial(draw) for draw in range(8)]
        for sequence in (
            Sequence700.of(7, parties),
            Sequence700.of(8, parties),
            Sequence700.of(7, parties[1:]),
        )
    ]
    assert draws[0] != draws[1]
    assert draws[0] != draws[2]
