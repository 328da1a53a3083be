"""Counts the whole real numbers that each key reads, and brings the counts to the store now and then.

A write for each read would cost more than the read. What a process that is killed has counted in the last
seconds is lost.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Final

import structlog

from qibai.core.errors import QibaiError
from qibai.core.roles import sees_real_numbers
from qibai.service.lender import Lender
from qibai.service.reach import Principal
from qibai.store import key_reads

PERIOD_S: Final = 2.0
_log: Final = structlog.get_logger("qibai.keys")


class KeyReads:
    """The counts of this process."""

    def __init__(self, lender: Lender) -> None:
        self._lender = lender
        self._counts: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def shown(self, who: Principal, *numbers: str | None) -> None:
        """Count these where ``who`` gets them whole: masked ones are for everybody else."""
        if sees_real_numbers(who.role):
            self.add(who, sum(number is not None for number in numbers))

    def add(self, who: Principal, numbers: int) -> None:
        """Count so many whole numbers."""
        if not numbers:
            return
        self._counts[who.actor.via.removeprefix("key:")] += numbers
        if self._task is None:
            self._task = asyncio.create_task(self._later())

    async def close(self) -> None:
        """Bring what there is; what does not arrive is logged."""
        self._closing.set()
        if self._task is not None:
            await self._task
        await self._bring()
        if self._counts:
            _log.error("reads of real numbers were not counted", numbers=self._counts.total())

    async def _later(self) -> None:
        try:
            while self._counts and not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), PERIOD_S)
                await self._bring()
        finally:
            self._task = None

    async def _bring(self) -> None:
        """A count leaves memory once it is stored; one that fails waits for the next time."""
        counts = dict(self._counts)
        if not counts:
            return
        try:
            async with self._lender.get(timeout_s=2.0) as conn:
                await key_reads.add(conn, counts)
        except QibaiError as exc:
            _log.warning("reads of real numbers wait to be counted", error=exc.code)
            return
        self._counts -= Counter(counts)
