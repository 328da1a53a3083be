"""Many stored together; what cannot be stored does not keep the others from it."""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Final, Literal, TypeVar

import structlog

from qibai.store.failures import REFUSED

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = structlog.get_logger("gateway")


class _Unstorable(Enum):
    UNSTORABLE = "unstorable"


UNSTORABLE: Final = _Unstorable.UNSTORABLE  #: the store refuses what is in it, now and later
Unstorable = Literal[_Unstorable.UNSTORABLE]


async def store_apart(
    items: Sequence[Item], store: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]
) -> list[Result | Unstorable]:
    """What ``store`` answers for each item, or UNSTORABLE at its place.

    Where it refuses a batch, each half is tried, until the items to blame stand alone. What it raises for
    other reasons goes through.
    """
    try:
        return list(await store(items))
    except REFUSED as exc:
        if len(items) == 1:
            _log.error("what a message says cannot be stored", error=type(exc).__name__)
            return [UNSTORABLE]
    half = len(items) // 2
    return await store_apart(items[:half], store) + await store_apart(items[half:], store)


def storable(*texts: str) -> bool:
    """Whether PostgreSQL can keep these."""
    try:
        return b"\0" not in "".join(texts).encode()
    except UnicodeEncodeError:
        return False
