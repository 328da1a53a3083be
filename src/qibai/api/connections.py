"""A handful of connections to the database, made when first needed and made anew after a failure."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from qibai.core.errors import KeyUnknown, StoreUnavailable
from qibai.store.connection import Connection
from qibai.store.failures import UNAVAILABLE
from qibai.store.hosts import alive, connect_async, deadline

BACK_OFF_S: Final = 0.25


class Connections:
    """At most ``size`` connections; who finds none free within ``patience_s`` gets StoreUnavailable."""

    def __init__(self, dsn: str, size: int, *, connect_timeout_s: int = 2, patience_s: float = 2.0) -> None:
        self._dsn, self._connect_timeout_s, self._patience_s = dsn, connect_timeout_s, patience_s
        self._slots: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        self._not_before = 0.0
        self.size = size
        for _ in range(size):
            self._slots.put_nowait(None)

    @property
    def free(self) -> int:
        """How many are not in use."""
        return self._slots.qsize()

    @asynccontextmanager
    async def get(self, timeout_s: float = 10.0) -> AsyncIterator[Connection]:
        """A connection in autocommit mode; what is done with it may last ``timeout_s``.

        Raise StoreUnavailable when there is none, or when the time is over.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                conn = await self._slots.get()
        except TimeoutError:
            raise StoreUnavailable from None
        try:
            if conn is not None and not await alive(conn, self._dsn, self._connect_timeout_s):
                await conn.close()
                conn = None
            if conn is None:
                conn = await self._connect()
            async with deadline(conn, self._dsn, timeout_s):
                yield conn
        except UNAVAILABLE:
            if conn is not None:
                await conn.close()
            raise StoreUnavailable from None
        except KeyUnknown:  # the server has answered
            raise
        except StoreUnavailable:  # the server is no longer what it was when the connection was made
            if conn is not None:
                await conn.close()
            raise
        finally:
            if conn is not None and conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                await conn.close()
            self._slots.put_nowait(None if conn is None or conn.closed else conn)

    async def close(self) -> None:
        """Close those that are free."""
        while not self._slots.empty():
            conn = self._slots.get_nowait()
            if conn is not None:
                await conn.close()

    async def _connect(self) -> Connection:
        if time.monotonic() < self._not_before:
            raise StoreUnavailable
        try:
            return await connect_async(self._dsn, connect_timeout_s=self._connect_timeout_s)
        except StoreUnavailable:
            self._not_before = time.monotonic() + BACK_OFF_S
            raise
