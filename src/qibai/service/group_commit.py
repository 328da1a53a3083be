"""Group commit: what queued while the previous batch was running becomes the next batch.

No request waits for company: when no batch of its group is under way, a batch starts at the end of the event
loop's current turn. A group never has two batches under way: one batch of 100 costs less than two of 50.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar, cast

from qibai.core.errors import Overloaded, QibaiError

Item = TypeVar("Item")
Result = TypeVar("Result")
GroupT = TypeVar("GroupT", bound=Hashable)


class GroupCommit(Generic[GroupT, Item, Result]):
    """Puts concurrent submissions of a group (a tenant) together; groups take turns."""

    def __init__(
        self,
        run: Callable[[GroupT, Sequence[Item]], Awaitable[Sequence[Result | QibaiError]]],
        *,
        lanes: int = 2,
        max_batch: int = 256,
        max_waiting: int = 4_096,
    ) -> None:
        """``run`` answers each item of a batch at its place; what it raises, all of the batch get.

        ``lanes``: how many groups have a batch under way at once.
        """
        self._run, self._lanes, self._max_batch, self._max_waiting = run, lanes, max_batch, max_waiting
        self._queues: OrderedDict[GroupT, deque[tuple[Item, asyncio.Future[Result]]]] = OrderedDict()
        self._running: set[GroupT] = set()
        self._waiting = 0
        self._workers: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Submissions that are in no batch yet."""
        return self._waiting

    async def submit(self, group: GroupT, item: Item) -> Result:
        """The item's answer, once its batch is committed. Raise Overloaded when too many wait already."""
        if self._waiting >= self._max_waiting:
            raise Overloaded
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(group, deque()).append((item, future))
        self._waiting += 1
        if group not in self._running and len(self._workers) < self._lanes:
            self._workers.add(asyncio.create_task(self._work()))
        return await future

    async def close(self) -> None:
        """Wait until everything submitted is answered."""
        while self._workers:
            await asyncio.wait(self._workers)

    async def _work(self) -> None:
        """Run batches until nothing waits.

        A worker leaves the set in the step that finds nothing. If it left in a callback, an item that is
        submitted between the step and the callback would wait for a worker that does nothing more.
        """
        try:
            while found := next(((group,) for group in self._queues if group not in self._running), None):
                (group,) = found
                queue = self._queues.pop(group)
                batch = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
                if queue:
                    self._queues[group] = queue
                self._waiting -= len(batch)
                self._running.add(group)
                try:
                    await self._answer(group, batch)
                finally:
                    self._running.discard(group)
        finally:
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answer(self, group: GroupT, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._run(group, [item for item, _ in batch])
        except Exception as exc:  # every waiting request must get it
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # the client went away
                continue
            if isinstance(result, QibaiError):
                future.set_exception(result)
            else:
                future.set_result(result)
