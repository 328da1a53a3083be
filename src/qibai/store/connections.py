"""Connections to PostgreSQL that are made when first needed, and made again after a failure."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from qibai.core.errors import KeyUnknown, StoreUnavailable
from qibai.store.connection import Connection
from qibai.store.failures import UNAVAILABLE, own_errors
from qibai.store.hosts import alive, connect_async, deadline, shut

#: Where all is looked up by keys, no plan may keep a scan that was cheap while its table was empty.
_BY_KEY: Final = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off"
    " -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
)
BACK_OFF_S: Final = 0.25
_GOODBYE_S: Final = 1.0

T = TypeVar("T")


class Connections:
    """At most ``size`` connections, each for one use at a time.

    While the server is away, uses fail at once.
    """

    def __init__(
        self,
        dsn: str,
        size: int = 1,
        *,
        application: str = "",
        by_key: bool = False,
        connect_timeout_s: float = 2.0,
        patience_s: float | None = 2.0,
    ) -> None:
        """``by_key``: all that is done here looks rows up by keys.

        ``patience_s``: how long a use waits for a free connection; None: as long as it takes.
        """
        options = f"{conninfo_to_dict(dsn).get('options') or ''} {_BY_KEY if by_key else ''}".strip()
        given = {"application_name": application, "options": options}
        self._dsn = make_conninfo(dsn, **{name: text for name, text in given.items() if text})
        self._connect_timeout_s, self._patience_s = connect_timeout_s, patience_s
        self._slots: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        self._lent: set[Connection] = set()
        self._not_before = 0.0
        self._over = False
        self.up = False  #: whether the server answered the last use
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

        Raise StoreUnavailable when there is none, or when the time is over: the work was done, or not.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                conn = await self._slots.get()
        except TimeoutError:
            raise StoreUnavailable from None
        try:
            conn = await self._ready(conn)
            self._lent.add(conn)
            async with deadline(conn, self._dsn, timeout_s):
                yield conn
        except KeyUnknown:  # the server has answered
            raise
        except (StoreUnavailable, *UNAVAILABLE) as exc:  # it is gone, or no longer what it was
            self.up = False
            if conn is not None:
                await _let_go(conn)
            if isinstance(exc, StoreUnavailable):
                raise
            raise StoreUnavailable from None
        finally:
            if conn is not None:
                self._lent.discard(conn)
                if conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    await _let_go(conn)
            self._slots.put_nowait(None if conn is None or conn.closed else conn)

    async def run(self, work: Callable[[Connection], Awaitable[T]], within_s: float = 5.0) -> T:
        """Do ``work`` with a connection, see ``get``. Raise StoreUnavailable: it was done, or not."""
        async with self.get(within_s) as conn:
            return await work(conn)

    async def close(self) -> None:
        """Close all. Work that is under way, or comes later, gets StoreUnavailable.

        A connection is closed after its work has ended: the driver would go on with memory that is freed.
        """
        self._over = True
        for conn in self._lent:
            shut(conn)
        for _ in range(self.size):
            conn_or_none = await self._slots.get()
            if conn_or_none is not None:
                await _let_go(conn_or_none)
        for _ in range(self.size):
            self._slots.put_nowait(None)

    async def _ready(self, conn: Connection | None) -> Connection:
        if conn is not None:
            if not self._over and await alive(conn, self._dsn, self._connect_timeout_s):
                return conn
            await _let_go(conn)
        if self._over or time.monotonic() < self._not_before:
            raise StoreUnavailable
        try:
            conn = await connect_async(self._dsn, connect_timeout_s=self._connect_timeout_s)
        except StoreUnavailable:
            self._not_before = time.monotonic() + BACK_OFF_S
            raise
        self.up = True
        return conn


@asynccontextmanager
async def listening(
    dsn: str, channel: str, *, application: str, connect_timeout_s: float = 2.0
) -> AsyncIterator[Connection]:
    """A connection that is notified of what happens on ``channel``, see ``heard``. Raise StoreUnavailable."""
    conn = await connect_async(dsn, connect_timeout_s=connect_timeout_s, application_name=application)
    async with conn:
        with own_errors():
            await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        yield conn


async def heard(conn: Connection, within_s: float) -> bool:
    """Wait for a notice. Return False if there was none in that time. Raise StoreUnavailable."""
    any_heard = False
    with own_errors():
        async for _ in conn.notifies(timeout=within_s, stop_after=1):
            any_heard = True
        if not any_heard:
            await conn.execute("SELECT 1")  # a server that went without a word gives no notice of that
    return any_heard


async def _let_go(conn: Connection) -> None:
    with contextlib.suppress(psycopg.Error, TimeoutError):
        await asyncio.wait_for(conn.close(), _GOODBYE_S)
