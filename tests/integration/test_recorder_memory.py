"""The recorder keeps nothing of calls that are long over, however many there were and whatever else fails."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from database_tools import as_platform
from qibai.config import Config, StoreConfig
from qibai.records.keeper import Keeper
from qibai.records.pump import Pump
from qibai.store.loss_counts import LossCounts
from qibai.store.spool import SpoolWriter
from recorder_tools import answered_call

CALLS = 3_000
NOWHERE = "host=/nonexistent"


@asynccontextmanager
async def pumping(home: Path, dsn: str) -> AsyncIterator[tuple[Pump, Keeper]]:
    """The recorder's parts that hold calls; calls that have ended are remembered for a moment."""
    config = Config(home=home, node="n1", store=StoreConfig(dsn=dsn))
    config.run_dir.mkdir(parents=True)
    config.spool_dir.mkdir(parents=True)
    keeper = Keeper(60, 3_600, remember_s=0.5)
    pump, stop = Pump(config, keeper, LossCounts(config.run_dir, "recorder")), asyncio.Event()
    running = asyncio.create_task(pump.run(stop))
    try:
        yield pump, keeper
    finally:
        stop.set()
        await running


def speak(home: Path, calls: int) -> None:
    """Events of whole calls, and of as many whose end is read before their beginning."""
    first, second = SpoolWriter(home / "spool", "a"), SpoolWriter(home / "spool", "b")
    for _ in range(calls // 2):
        for event in answered_call():
            first.append(event)
        *beginning, end = answered_call()
        first.append(end)
        for event in beginning:
            second.append(event)
    first.close()
    second.close()


async def until(fact: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)


async def test_what_is_held_does_not_grow_with_the_calls_that_are_over(tmp_path: Path, dsn: str) -> None:
    counts = []
    async with pumping(tmp_path, as_platform(dsn)) as (pump, keeper):
        for turn in range(1, 4):
            speak(tmp_path, CALLS)
            await until(lambda turn=turn: pump.events == turn * CALLS * 4 and not keeper.held)
            gc.collect()
            counts.append(sys.getallocatedblocks())
    assert not keeper.live and not keeper.late
    assert counts[2] - counts[0] < CALLS, "not one object stays for each call"


async def test_calls_are_forgotten_while_the_database_is_away_too(tmp_path: Path) -> None:
    """Events wait in the spool, which the disk bounds; memory must not wait with them."""
    async with pumping(tmp_path, NOWHERE) as (pump, keeper):
        speak(tmp_path, CALLS)
        await until(lambda: sum(keeper.meter.ended.values()) == CALLS)
        await until(lambda: not keeper.held)
        assert pump.events == 0
        assert pump.backlog() > 0
