"""No entry of the audit trail can be edited, removed, or put elsewhere without being named."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qibai.core.errors import AuditBroken
from qibai.core.trail import START, Entry, Point, check, digest

TEXT = st.text(max_size=12)
FIELDS = ("at_us", "actor", "role", "via", "action", "subject", "details")
Row = tuple[int, str, str, str, str, str, str]
ROWS = st.lists(st.tuples(st.integers(0, 2**52), *[TEXT] * 6), min_size=1, max_size=8)


def chain(rows: list[Row], prev: bytes = START, first: int = 1) -> list[Entry]:
    made = []
    for seq, row in enumerate(rows, first):
        hash = digest(prev, seq, *row)
        made.append(Entry(seq=seq, prev=prev, hash=hash, **dict(zip(FIELDS, row, strict=True))))  # type: ignore[arg-type]
        prev = hash
    return made


def points(entries: list[Entry]) -> list[Point]:
    return [Point(entry.seq, entry.hash) for entry in entries]


def first_bad(entries: list[Entry], anchors: list[Point]) -> int:
    with pytest.raises(AuditBroken) as caught:
        for _ in check(entries, anchors):
            pass
    return caught.value.seq


@given(ROWS)
def test_a_sound_chain_passes_whole(rows: list[Row]) -> None:
    made = chain(rows)
    assert list(check(made, points(made))) == made
    assert list(check(made)) == made


@given(ROWS, st.data())
def test_an_edited_entry_is_named(rows: list[Row], data: st.DataObject) -> None:
    made = chain(rows)
    place = data.draw(st.integers(0, len(made) - 1))
    field = data.draw(st.sampled_from([*FIELDS, "prev", "hash"]))
    old = getattr(made[place], field)
    kind: Any = {int: st.integers(0, 2**52), str: TEXT, bytes: st.binary(min_size=32, max_size=32)}[type(old)]
    made[place] = msgspec.structs.replace(made[place], **{field: data.draw(kind.filter(lambda v: v != old))})
    assert first_bad(made, []) == made[place].seq


@given(ROWS, st.data())
def test_a_removed_entry_is_named_also_at_the_end(rows: list[Row], data: st.DataObject) -> None:
    made = chain(rows)
    end = points(made)[-1:]
    gone = made.pop(data.draw(st.integers(0, len(made) - 1)))
    assert first_bad(made, end) == gone.seq


@given(ROWS.filter(lambda rows: len(rows) > 1), st.data())
def test_entries_in_another_order_are_named(rows: list[Row], data: st.DataObject) -> None:
    made = chain(rows)
    one, other = sorted(
        data.draw(st.lists(st.sampled_from(range(len(made))), min_size=2, max_size=2, unique=True))
    )
    moved = list(made)
    moved[one], moved[other] = made[other], made[one]
    assert first_bad(moved, []) == one + 1
    numbered = [msgspec.structs.replace(entry, seq=seq) for seq, entry in enumerate(moved, 1)]
    assert first_bad(numbered, []) == one + 1


@given(ROWS, st.data())
def test_an_entry_forged_with_its_own_digest_is_named_by_the_next(
    rows: list[Row], data: st.DataObject
) -> None:
    made = chain([*rows, (0, "a", "b", "c", "d", "e", "f")])
    place = data.draw(st.integers(0, len(made) - 2))
    entry = msgspec.structs.replace(made[place], details=made[place].details + "x")
    made[place] = msgspec.structs.replace(entry, hash=entry.digest)
    assert first_bad(made, []) == made[place].seq


@given(ROWS, st.data())
def test_a_chain_computed_anew_does_not_fit_its_anchors(rows: list[Row], data: st.DataObject) -> None:
    made = chain(rows)
    place = data.draw(st.integers(0, len(made) - 1))
    changed: list[Row] = [*rows]
    changed[place] = (rows[place][0] + 1, *rows[place][1:])
    forged = chain(changed)
    assert first_bad(forged, points(made)) == place + 1
    assert first_bad(forged, points(made)[-1:]) == 1  # one anchor alone says: somewhere from 1 on


def test_contents_that_only_look_alike_have_digests_of_their_own() -> None:
    rows = [(1, *words) for words in itertools.permutations(["a", "b", "", '","', "ab", '"'])]
    assert len({digest(START, 1, *row) for row in rows}) == len(rows)


def test_a_point_is_written_and_read() -> None:
    point = Point(7, bytes(range(32)))
    assert Point.parse(str(point)) == point
    for wrong in ("", "7", "7:00", "x:" + "00" * 32, "-1:" + "00" * 32):
        with pytest.raises(ValueError):
            Point.parse(wrong)
