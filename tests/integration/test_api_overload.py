"""Group commit: one answer an item, company without waiting, a queue that is bounded."""

import asyncio
from collections.abc import Sequence

import pytest

from qibai.core.errors import Overloaded, PoolExhausted, QibaiError, StoreUnavailable
from qibai.store.group_commit import GroupCommit


class Recorder:
    """A batch runner that waits to be let go."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.go = asyncio.Event()

    async def __call__(self, group: str, items: Sequence[int]) -> Sequence[int | QibaiError]:
        self.batches.append((group, list(items)))
        await self.go.wait()
        return [PoolExhausted() if item < 0 else item * 2 for item in items]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_queued_meanwhile_is_the_next_batch() -> None:
    run = Recorder()
    commit: GroupCommit[str, int, int] = GroupCommit(run, lanes=1, max_batch=3)
    first = asyncio.create_task(commit.submit("a", 1))
    await turns()
    assert run.batches == [("a", [1])]  # it did not wait for company
    rest = [asyncio.create_task(commit.submit("a", item)) for item in (2, 3, 4, 5)]
    other = asyncio.create_task(commit.submit("b", 6))
    await turns()
    run.go.set()
    assert await asyncio.gather(first, *rest, other) == [2, 4, 6, 8, 10, 12]
    assert run.batches == [("a", [1]), ("a", [2, 3, 4]), ("b", [6]), ("a", [5])]


async def test_a_bad_item_fails_only_itself() -> None:
    run = Recorder()
    run.go.set()
    commit: GroupCommit[str, int, int] = GroupCommit(run)
    answers = await asyncio.gather(*(commit.submit("a", i) for i in (1, -1, 2)), return_exceptions=True)
    assert answers[0] == 2 and isinstance(answers[1], PoolExhausted) and answers[2] == 4


async def test_what_the_batch_raises_all_get() -> None:
    async def fail(group: str, items: Sequence[int]) -> Sequence[int]:
        raise StoreUnavailable

    commit: GroupCommit[str, int, int] = GroupCommit(fail)
    answers = await asyncio.gather(*(commit.submit("a", i) for i in range(3)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_a_full_queue_refuses_and_recovers() -> None:
    run = Recorder()
    commit: GroupCommit[str, int, int] = GroupCommit(run, lanes=1, max_waiting=2)
    running = asyncio.create_task(commit.submit("a", 1))
    await turns()
    waiting = [asyncio.create_task(commit.submit("a", item)) for item in (2, 3)]
    await turns()
    assert commit.waiting == 2
    with pytest.raises(Overloaded):
        await commit.submit("a", 4)
    run.go.set()
    assert await asyncio.gather(running, *waiting) == [2, 4, 6]
    assert await commit.submit("a", 5) == 10


async def test_what_is_submitted_at_the_moment_of_an_answer_is_answered_too() -> None:
    run = Recorder()
    run.go.set()
    commit: GroupCommit[str, int, int] = GroupCommit(run, lanes=1)
    async with asyncio.timeout(5):
        assert [await commit.submit("a", item) for item in range(50)] == [item * 2 for item in range(50)]
        await asyncio.gather(*(commit.submit("b", item) for item in range(50)))
        await commit.close()


async def test_a_client_that_left_harms_nobody() -> None:
    run = Recorder()
    commit: GroupCommit[str, int, int] = GroupCommit(run)
    gone, stays = (asyncio.create_task(commit.submit("a", item)) for item in (1, 2))
    await turns()
    gone.cancel()
    run.go.set()
    assert await stays == 4
    await commit.close()
