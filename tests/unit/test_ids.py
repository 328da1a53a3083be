"""Ids of calls: nothing would notice if two calls had the same, so they must not."""

import multiprocessing
from pathlib import Path

import pytest

from qibai.core.ids import PLACES, DistinctIds, node_number
from qibai.voice.place import take_place

MS = 1_000_000
NOW = 1_795_000_000_000 * MS


def test_one_process_never_repeats_itself_however_fast_it_is() -> None:
    ids = DistinctIds(3, 7)
    made = [ids.new(NOW) for _ in range(1_000)] + [ids.new(NOW - 5 * MS), ids.new(NOW + 1)]
    assert made == sorted(set(made))


def test_processes_and_nodes_never_meet() -> None:
    makers = [DistinctIds(node, place) for node in (0, 1, 127) for place in (0, 1, PLACES - 1)]
    made = [maker.new(NOW + step) for maker in makers for step in range(0, 3 * MS, MS // 200)]
    assert len(set(made)) == len(made)


def test_ids_sort_by_time_and_fit_a_bigint() -> None:
    early, late = DistinctIds(127, PLACES - 1).new(NOW), DistinctIds(0, 0).new(NOW + MS)
    assert early < late < 1 << 63
    assert DistinctIds(0, 0).new(4_398_046_511_103 * MS) < 1 << 63  # in 2109


@pytest.mark.parametrize(("node", "place"), [(128, 0), (-1, 0), (0, PLACES), (0, -1)])
def test_out_of_range(node: int, place: int) -> None:
    with pytest.raises(ValueError, match="no such"):
        DistinctIds(node, place)


def test_a_node_without_a_number_has_one_by_its_name() -> None:
    assert node_number("node-a") == node_number("node-a")
    assert all(0 <= node_number(f"node-{i}") < 128 for i in range(500))


def _hold(places: Path, told: "multiprocessing.Queue[int]") -> None:
    told.put(take_place(places))
    told.get()  # until it is killed


def test_a_place_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    places = tmp_path / "places"
    context = multiprocessing.get_context("spawn")
    queues = [context.Queue() for _ in range(3)]
    holders = [context.Process(target=_hold, args=(places, queue)) for queue in queues]
    held = []
    for holder, queue in zip(holders, queues, strict=True):
        holder.start()
        held.append(queue.get(timeout=20))
    assert sorted(held) == [0, 1, 2]
    holders[1].kill()
    holders[1].join()
    assert take_place(places) == held[1]
    for holder in holders:
        holder.kill()
        holder.join()
