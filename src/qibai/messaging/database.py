"""A connection to PostgreSQL that is made anew after it broke, with a deadline on everything."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from qibai.core.errors import KeyUnknown, StoreUnavailable
from qibai.store.connection import Connection
from qibai.store.hosts import alive, connect_async, deadline, shut

#: All is looked up by keys: no plan may keep a scan that was cheap while its table was empty.
_SETTINGS: Final = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off"
    " -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
)
BACK_OFF_S: Final = 0.5
ANSWER_S: Final = 5.0

T = TypeVar("T")


class Database:
    """One connection, used by one at a time. While the server is away, uses fail at once."""

    def __init__(self, dsn: str, application: str, connect_timeout_s: int) -> None:
        options = f"{conninfo_to_dict(dsn).get('options') or ''} {_SETTINGS}".strip()
        self._dsn = make_conninfo(dsn, application_name=application, options=options)
        self._connect_s = max(2, connect_timeout_s)
        self._conn: Connection | None = None
        self._busy = asyncio.Lock()
        self._not_before = 0.0
        self._over = False
        self.up = False

    async def run(self, work: Callable[[Connection], Awaitable[T]], within_s: float = ANSWER_S) -> T:
        """Do ``work`` in autocommit mode. Raise StoreUnavailable: it was done, or not."""
        async with self._busy:
            conn = await self._connection()
            try:
                async with deadline(conn, self._dsn, within_s):
                    return await work(conn)
            except KeyUnknown:  # PostgreSQL has answered
                raise
            except StoreUnavailable:
                await self._lose()
                raise

    async def close(self) -> None:
        """Let go of the connection. Work that is under way, or comes later, gets StoreUnavailable.

        The connection is closed after that work has ended: the driver would go on with memory that is freed.
        """
        self._over = True
        if self._conn is not None and self._busy.locked():
            shut(self._conn)
        async with self._busy:
            await self._let_go()

    async def _let_go(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with contextlib.suppress(psycopg.Error, TimeoutError):
                await asyncio.wait_for(conn.close(), 1.0)

    async def _connection(self) -> Connection:
        if self._over:
            raise StoreUnavailable
        if self._conn is not None:
            if await alive(self._conn, self._dsn, self._connect_s):
                return self._conn
            await self._let_go()
        if self._over or time.monotonic() < self._not_before:
            raise StoreUnavailable
        try:
            self._conn = await connect_async(self._dsn, connect_timeout_s=self._connect_s)
        except StoreUnavailable:
            self._not_before = time.monotonic() + BACK_OFF_S
            self.up = False
            raise
        self.up = True
        return self._conn

    async def _lose(self) -> None:
        self.up = False
        self._not_before = time.monotonic() + BACK_OFF_S
        await self._let_go()
