"""What an operator has to keep an eye on: papers that end, codes without papers, pools that run out."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec
import psycopg

from qibai.config import PoolsConfig
from qibai.store import pools
from qibai.store.failures import own_errors
from qibai.store.pools import Pool
from qibai.store.statements import load

_SQL: Final = load("watch")


class PaperEnd(msgspec.Struct, frozen=True):
    """The latest approval of an application platform, or a certificate that codes stand under."""

    kind: str
    platform: str
    number: str
    last_day: date
    revoked_at: datetime | None


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """Papers that something depends on, and how many codes are in a state that is not for long."""

    papers: list[PaperEnd]
    uncertified: int  #: codes under no certificate
    set_aside: int
    draining: int
    pools: list[Pool]


def watch_sync(conn: psycopg.Connection[Any], config: PoolsConfig) -> Watched:
    """All of it. Raise StoreUnavailable, SchemaError."""
    with own_errors():
        papers = conn.execute(_SQL["papers"]).fetchall()
        codes = conn.execute(_SQL["codes"]).fetchone()
    return _watched(papers, codes, pools.read_sync(conn, config))


async def watch(conn: psycopg.AsyncConnection[Any], config: PoolsConfig) -> Watched:
    """All of it. Raise StoreUnavailable, SchemaError."""
    with own_errors():
        papers = await (await conn.execute(_SQL["papers"])).fetchall()
        codes = await (await conn.execute(_SQL["codes"])).fetchone()
    return _watched(papers, codes, await pools.read(conn, config))


def _watched(papers: Sequence[Any], codes: Sequence[int] | None, found: list[Pool]) -> Watched:
    uncertified, set_aside, draining = codes or (0, 0, 0)
    return Watched(
        papers=[PaperEnd(*row) for row in papers],
        uncertified=uncertified,
        set_aside=set_aside,
        draining=draining,
        pools=found,
    )
