"""Pairs that would go on connecting calls although their binding is over, or is not there.

No request of ours leaves any: binding and pairs end in one transaction. If one is found all the same (rows
that were restored or edited by hand, a fault of ours), it is ended and reported.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple

import psycopg
import structlog

from qibai.store.rotating import partitions
from qibai.store.statements import load

PAGES: Final = 256  #: of 8 KiB, in one look

_log: Final = structlog.get_logger("qibai.orphans")

_SQL: Final = load("orphans")


class _Orphan(NamedTuple):
    code: int
    serial: int
    caller_key: bytes
    binding_id: int


def end_orphans(
    conn: psycopg.Connection[tuple[Any, ...]],
    quarantine: timedelta,
    *,
    pause_s: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[int, bool]:
    """End them all, page by page; how many there were, and whether ``stop`` let it look at every page.

    ``conn`` is in autocommit mode.
    """
    ended = 0
    for part in partitions("route"):
        for found in _pages(conn, part):
            ended += sum(_end(conn, one, quarantine) for one in found)
            if stop():
                return ended, False
            time.sleep(pause_s)
    return ended, True


def _pages(conn: psycopg.Connection[tuple[Any, ...]], part: str) -> Iterator[list[_Orphan]]:
    size = conn.execute("SELECT pg_relation_size(%s) / current_setting('block_size')::int", [part]).fetchone()
    statement = _SQL["find"].replace(b"{part}", part.encode())
    for first in range(0, size[0] if size else 0, PAGES):
        span = {"from": f"({first},0)", "to": f"({first + PAGES},0)"}
        yield [_Orphan(*row) for row in conn.execute(statement, span).fetchall()]


def _end(conn: psycopg.Connection[tuple[Any, ...]], one: _Orphan, quarantine: timedelta) -> bool:
    """Returns True if it was one still, once nobody could change its binding any more."""
    with conn.transaction():
        conn.execute(_SQL["hold"], one._asdict())
        done = conn.execute(_SQL["end"], one._asdict() | {"quarantine": quarantine}).rowcount > 0
    if done:
        _log.error("a pair outlived its binding and was ended", code=one.code, binding=one.binding_id)
    return done
