"""Group commit: what came while the previous batch was running becomes the next batch.

An idle batcher may linger a moment for company, but only while experience says that company comes: a peer
that sends one message at a time, each after the answer to the one before, does not wait for itself.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PROBE: Final = 16  #: of so many batches at least one lingers, to see whether company comes
WORTH: Final = 2.0  #: lingering is worth while when batches grow to this
ENOUGH: Final = 16  #: more company is not worth waiting for


class Batches(Generic[Item, Result]):
    """Puts concurrent submissions together."""

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        most: int = 256,
        linger_s: float = 0.0,
    ) -> None:
        """``run`` answers each item of a batch at its place; what it raises, all of the batch get."""
        self._run, self._most, self._linger_s = run, most, linger_s
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._enough: asyncio.Future[None] | None = None  # while a batch lingers
        self._company = 0.0  # how large batches were that lingered
        self._hasty = 0  # how many batches since did not

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """The item's answer, once its batch has run."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._enough is not None and len(self._queue) >= ENOUGH:
            _let_go(self._enough)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return future

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._linger()
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]
                await self._answer(batch)
        finally:
            self._worker = None

    async def _linger(self) -> None:
        if not self._linger_s or len(self._queue) >= self._most:
            return
        if self._company < WORTH and self._hasty < PROBE:
            self._hasty += 1
            return
        loop = asyncio.get_running_loop()
        self._enough = loop.create_future()
        timer = loop.call_later(self._linger_s, _let_go, self._enough)
        if len(self._queue) >= ENOUGH:
            _let_go(self._enough)
        await self._enough
        timer.cancel()
        self._enough = None
        self._hasty = 0
        self._company = (self._company + len(self._queue)) / 2

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except Exception as exc:  # everybody who waits must hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():  # else who waited has gone
                future.set_result(result)


def _let_go(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
