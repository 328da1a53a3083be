"""Group commit: what queued while the previous batch was running becomes the next batch.

When no batch of its group is under way, a batch starts at the end of the event loop's current turn. A group
never has two batches under way: one batch of 100 costs less than two of 50.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence, Sized
from typing import Final, Generic, TypeVar, cast

from qibai.core.errors import Overloaded, QibaiError

Item = TypeVar("Item")
Result = TypeVar("Result")
GroupT = TypeVar("GroupT", bound=Hashable)

PROBE: Final = 16  #: at least one of so many batches waits, to see whether company comes
WORTH: Final = 2.0  #: waiting is worth while when batches grow to this
ENOUGH: Final = 16  #: more company is not worth waiting for
MOST_WAITING: Final = 4_096  #: submissions to an API worker that may wait


class GroupCommit(Generic[GroupT, Item, Result]):
    """Puts concurrent submissions of a group (a tenant) together; groups take turns."""

    def __init__(
        self,
        run: Callable[[GroupT, Sequence[Item]], Awaitable[Sequence[Result | QibaiError]]],
        *,
        lanes: int = 2,
        max_batch: int = 256,
        max_waiting: int | None = None,
        linger_s: float = 0.0,
    ) -> None:
        """``run`` answers each item of a batch at its place; what it raises, all of the batch get.

        ``lanes``: how many groups have a batch under way at once. ``max_waiting``: submissions that may wait,
        None without a limit. ``linger_s``: how long a batch may wait for company, for a commit of one group.
        """
        self._run, self._lanes, self._max_batch, self._max_waiting = run, lanes, max_batch, max_waiting
        self._linger = _Linger(linger_s, max_batch) if linger_s else None
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
        if self._max_waiting is not None and self._waiting >= self._max_waiting:
            raise Overloaded
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(group, deque()).append((item, future))
        self._waiting += 1
        if self._linger is not None:
            self._linger.came(self._waiting)
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
                self._running.add(group)
                try:
                    if self._linger is not None:
                        await self._linger.wait(self._queues[group])
                    await self._answer(group, self._take(group))
                finally:
                    self._running.discard(group)
        finally:
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self, group: GroupT) -> list[tuple[Item, asyncio.Future[Result]]]:
        queue = self._queues.pop(group)
        batch = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
        if queue:  # behind the other groups
            self._queues[group] = queue
        self._waiting -= len(batch)
        return batch

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


class _Linger:
    """A batch's wait for company, only while experience says that company comes.

    A peer that sends a message only after the answer to the message before does not wait for itself.
    """

    def __init__(self, seconds: float, full: int) -> None:
        self._seconds, self._full = seconds, full
        self._enough: asyncio.Future[None] | None = None  # while a batch waits
        self._company = 0.0  # how large batches were that waited
        self._hasty = 0  # how many batches since then did not

    def came(self, waiting: int) -> None:
        """An item was queued; so many wait now."""
        if self._enough is not None and waiting >= ENOUGH:
            _let_go(self._enough)

    async def wait(self, queue: Sized) -> None:
        """Wait until there is enough company, or the time is over."""
        if len(queue) >= self._full:
            return
        if self._company < WORTH and self._hasty < PROBE:
            self._hasty += 1
            return
        loop = asyncio.get_running_loop()
        self._enough = loop.create_future()
        timer = loop.call_later(self._seconds, _let_go, self._enough)
        self.came(len(queue))
        try:
            await self._enough
        finally:
            timer.cancel()
            self._enough = None
        self._hasty = 0
        self._company = (self._company + len(queue)) / 2


def _let_go(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
