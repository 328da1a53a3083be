"""Group commit with a wait for company, as the gateway uses it: who waits for whom."""

import asyncio
from collections.abc import Sequence

import pytest

from qibai.store.group_commit import ENOUGH, PROBE, GroupCommit

LONG_S = 3_600.0


async def test_everyone_gets_the_answer_at_their_place() -> None:
    sizes = []

    async def run(_: None, items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0)
        return [item * 2 for item in items]

    batches: GroupCommit[None, int, int] = GroupCommit(run, max_batch=4)
    assert await asyncio.gather(*(batches.submit(None, item) for item in range(10))) == [
        item * 2 for item in range(10)
    ]
    assert sizes == [4, 4, 2]


async def test_what_a_batch_raises_all_of_it_get_and_the_next_goes_on() -> None:
    async def run(_: None, items: Sequence[int]) -> list[int]:
        if 0 in items:
            raise ValueError
        return list(items)

    batches: GroupCommit[None, int, int] = GroupCommit(run)
    first = [asyncio.create_task(batches.submit(None, item)) for item in range(3)]
    for future in first:
        with pytest.raises(ValueError):
            await future
    assert await batches.submit(None, 7) == 7


async def test_one_at_a_time_waits_for_nobody_and_enough_company_ends_the_wait() -> None:
    sizes = []

    async def run(_: None, items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        return list(items)

    batches: GroupCommit[None, int, int] = GroupCommit(run, linger_s=LONG_S)
    for item in range(PROBE):
        await batches.submit(None, item)
    assert sizes == [1] * PROBE
    lingering = [asyncio.create_task(batches.submit(None, item)) for item in range(ENOUGH - 1)]
    await asyncio.sleep(0.05)
    assert sizes == [1] * PROBE  # the probe waits for one more
    last = asyncio.create_task(batches.submit(None, 0))
    await asyncio.gather(*lingering, last)
    assert sizes == [1] * PROBE + [ENOUGH]
