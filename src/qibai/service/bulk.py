"""Bulks: thousands of items in one request, each of which succeeds or fails by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from qibai.core.errors import Overloaded, QibaiError

AT_ONCE: Final = 2  #: bulks under way at once
WAITING: Final = 16  #: bulks beyond them; more are refused
_BREATH: Final = 64  # items prepared before others on the event loop have their turn

_Wish = TypeVar("_Wish")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Bulks:
    """Lets a few bulks of a process through at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._requests = 0

    async def run(
        self,
        wishes: Iterable[_Wish | QibaiError],
        prepare: Callable[[_Wish], _Item],
        work: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result | QibaiError]]],
    ) -> list[_Result | QibaiError]:
        """The result of each wish, in the same order; ``work`` gets all that ``prepare`` lets pass.

        ``wishes`` is read when this bulk has its turn. If a wish could not be decoded, it is an error there,
        and this error is its result. Raise Overloaded, and what ``work`` raises.
        """
        if self._requests >= AT_ONCE + WAITING:
            raise Overloaded
        self._requests += 1
        try:
            async with self._turn:
                return await _run(wishes, prepare, work)
        finally:
            self._requests -= 1


async def _run(
    wishes: Iterable[_Wish | QibaiError],
    prepare: Callable[[_Wish], _Item],
    work: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result | QibaiError]]],
) -> list[_Result | QibaiError]:
    answers: dict[int, _Result | QibaiError] = {}
    items: dict[int, _Item] = {}
    for place, wish in enumerate(wishes):
        if isinstance(wish, QibaiError):
            answers[place] = wish
        else:
            try:
                items[place] = prepare(wish)
            except QibaiError as exc:
                answers[place] = exc
        if place % _BREATH == 0:
            await asyncio.sleep(0)
    if items:
        answers.update(zip(items, await work(list(items.values())), strict=True))
    return [answers[place] for place in range(len(answers))]
