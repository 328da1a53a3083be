"""Lists go on beside a row that cannot be read."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import structlog

from qibai.core.errors import KeyUnknown, SealBroken

R = TypeVar("R")
T = TypeVar("T")
_log: Final = structlog.get_logger("qibai.api")


def legible(
    rows: Iterable[R], show: Callable[[R], T], id_of: Callable[[R], str]
) -> tuple[list[T], list[str]]:
    """The answers of ``rows``, and the ids of rows whose numbers no key of this machine opens."""
    items: list[T] = []
    unreadable: list[str] = []
    for row in rows:
        try:
            items.append(show(row))
        except (KeyUnknown, SealBroken):
            unreadable.append(id_of(row))
    if unreadable:
        _log.error("stored numbers cannot be decrypted", ids=unreadable)
    return items, unreadable
