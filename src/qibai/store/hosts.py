"""The servers of a connection string that names several: a deadline for each, the last that answered first.

libpq and psycopg try hosts in the order of the string and spend the whole time on a first host that takes
connections and says nothing. Here each host has its own deadline, and processes remember who answered.
"""

import asyncio
import os
import select
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from qibai.core.errors import StoreUnavailable
from qibai.store.failures import UNAVAILABLE, why_not_connected

HOST_S: Final = 1.0  #: for one of several hosts to take a connection, where no look-up waits for it
IDLE_S: Final = 1.0  #: a connection that was idle for longer is asked whether its server is there
_LEAST_S: Final = 2  # psycopg counts a connection's time in whole seconds, and no fewer
_OWN: Final = ("host", "hostaddr", "port", "load_balance_hosts")  #: not shared by all hosts
_KIND: Final = """
SELECT CASE
    WHEN pg_is_in_recovery() THEN 'standby'
    WHEN current_setting('transaction_read_only')::boolean THEN 'read-only primary'
    ELSE 'primary'
END"""
_FIRST: Final[dict[tuple[str, ...], int]] = {}  # by hosts: the place of the one that answered last
_SERVER: Final[WeakKeyDictionary[psycopg.AsyncConnection[Any], int]] = WeakKeyDictionary()
_USED: Final[WeakKeyDictionary[psycopg.AsyncConnection[Any], float]] = WeakKeyDictionary()


class Attempt(NamedTuple):
    """One host to try: its place in the string, and a string that names it alone."""

    place: int
    conninfo: str


class Hosts:
    """The hosts of a connection string, in the order in which they are worth trying."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        said = conninfo_to_dict(dsn)
        names = str(said.get("host") or "").split(",")
        addresses = str(said.get("hostaddr") or "").split(",")
        ports = str(said.get("port") or "").split(",")
        count = max(len(names), len(addresses))
        self.wanted = str(said.get("target_session_attrs") or "any")
        self._key = tuple(f"{said.get(name)}" for name in ("host", "hostaddr", "port"))
        self.names = [_of(names, place) or _of(addresses, place) for place in range(count)]
        self._strings = [dsn] if count == 1 else []
        rest = {name: value for name, value in said.items() if name not in _OWN}
        for place in range(count if count > 1 else 0):
            own = {"host": _of(names, place), "hostaddr": _of(addresses, place), "port": _of(ports, place)}
            given = {name: value for name, value in own.items() if value}
            self._strings.append(make_conninfo("", **rest, **given))

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self._strings) > 1

    @property
    def prefers_standby(self) -> bool:
        """Whether a standby is to be used as long as there is one."""
        return self.several and self.wanted == "prefer-standby"

    def attempts(self, *, standby_only: bool = False) -> Iterator[Attempt]:
        """The hosts, each as often as it may have to be tried."""
        count = len(self._strings)
        first = _FIRST.get(self._key, 0)
        order = [(first + step) % count for step in range(count)]
        kinds = ["standby", "any"] if self.prefers_standby else [None]
        for kind in kinds[:1] if standby_only else kinds:
            for place in order:
                text = self._strings[place]
                yield Attempt(place, make_conninfo(text, target_session_attrs=kind) if kind else text)

    def each(self) -> Iterator[tuple[str, str]]:
        """Each host, in the string's order: its name, and a string that leads to it whatever it is."""
        for name, text in zip(self.names, self._strings, strict=True):
            port = conninfo_to_dict(text).get("port") or 5432
            yield f"{name}:{port}", make_conninfo(text, target_session_attrs="any")

    def worked(self, place: int) -> None:
        """Begin with this host from now on."""
        _FIRST[self._key] = place

    def failed(self, place: int) -> None:
        """Begin with the next host, if this was the first to be tried."""
        if _FIRST.get(self._key, 0) == place:
            _FIRST[self._key] = (place + 1) % len(self._strings)


def connect(dsn: str, *, connect_timeout_s: int = 10, **more: Any) -> psycopg.Connection[Any]:
    """Return a connection to the first host that answers in its time. Raise psycopg.OperationalError.

    One of several hosts has two seconds.
    """
    hosts, dead = Hosts(dsn), set[int]()
    within_s = _LEAST_S if hosts.several else max(_LEAST_S, connect_timeout_s)
    error: psycopg.OperationalError | None = None
    for attempt in hosts.attempts():
        if attempt.place in dead:
            continue
        began = time.monotonic()
        try:
            conn = psycopg.connect(attempt.conninfo, connect_timeout=within_s, **more)
        except psycopg.OperationalError as exc:
            error = exc
            hosts.failed(attempt.place)
            if time.monotonic() - began > HOST_S:
                dead.add(attempt.place)
        else:
            hosts.worked(attempt.place)
            return conn
    raise error or psycopg.OperationalError("there is no host")


async def connect_or_say_why(
    dsn: str, *, connect_timeout_s: int, application: str
) -> psycopg.AsyncConnection[Any]:
    """A connection for a command. Raise StoreUnavailable, which says why there is none."""
    try:
        return await psycopg.AsyncConnection.connect(
            dsn, connect_timeout=connect_timeout_s, application_name=application
        )
    except psycopg.OperationalError as exc:
        raise StoreUnavailable(why_not_connected(exc)) from None


def kind_of(dsn: str, within_s: int) -> str | None:
    """Return what one server is: primary, standby or read-only primary; None if it does not answer."""
    try:
        with psycopg.connect(dsn, connect_timeout=within_s, autocommit=True) as conn:
            row = conn.execute(_KIND).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else str(row[0])


def server_clock(conn: psycopg.Connection[Any]) -> float:
    """The server's clock, Unix time in seconds."""
    row = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    return float(row[0]) if row else 0.0


async def connect_async(
    dsn: str, *, connect_timeout_s: float = 2.0, **more: Any
) -> psycopg.AsyncConnection[Any]:
    """The same without blocking; one of several hosts has ``HOST_S`` at most. Raise StoreUnavailable."""
    hosts, dead = Hosts(dsn), set[int]()
    within_s = min(HOST_S, connect_timeout_s) if hosts.several else connect_timeout_s
    for attempt in hosts.attempts():
        if attempt.place in dead:
            continue
        try:
            async with asyncio.timeout(within_s):
                conn = await psycopg.AsyncConnection.connect(attempt.conninfo, autocommit=True, **more)
        except TimeoutError:
            hosts.failed(attempt.place)
            dead.add(attempt.place)
        except (psycopg.Error, OSError):
            hosts.failed(attempt.place)
        else:
            hosts.worked(attempt.place)
            _SERVER[conn] = attempt.place
            _USED[conn] = time.monotonic()
            return conn
    raise StoreUnavailable


async def alive(conn: psycopg.AsyncConnection[Any], dsn: str, within_s: float) -> bool:
    """Whether an idle connection in autocommit mode can be used; False: close it and make another.

    It is asked before any work: work that failed on it may have been done, and could not be tried once more.
    """
    if conn.closed or _heard(conn):
        return False
    if time.monotonic() - _USED.get(conn, 0.0) < IDLE_S:
        return True
    try:  # a server that went without a word, or a path that forgot the connection
        async with deadline(conn, dsn, within_s):
            await conn.execute("SELECT 1", prepare=False)
    except (StoreUnavailable, *UNAVAILABLE):
        return False
    return True


def _heard(conn: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server said anything unasked: as a rule that it ends the connection."""
    waiting = select.poll()
    try:
        waiting.register(conn.pgconn.socket, select.POLLIN)
    except psycopg.Error:
        return True
    return bool(waiting.poll(0))


@asynccontextmanager
async def deadline(conn: psycopg.AsyncConnection[Any], dsn: str, within_s: float) -> AsyncIterator[None]:
    """Close the connection's socket when the time is over: whoever waits for an answer gets StoreUnavailable.

    Cancelling would ask the server to cancel and wait for its answer, and a server that hangs gives none.
    """
    over = False

    def cut() -> None:
        nonlocal over
        over = True
        hosts = Hosts(dsn)
        hosts.failed(_SERVER.get(conn, 0))
        shut(conn)

    timer = asyncio.get_running_loop().call_later(within_s, cut)
    try:
        yield
    except UNAVAILABLE:
        if over:
            raise StoreUnavailable from None
        raise
    finally:
        timer.cancel()
        _USED[conn] = time.monotonic()


def shut(conn: psycopg.AsyncConnection[Any]) -> None:
    """End a connection at once, also while somebody waits for its server; that waiter gets an error."""
    try:
        with socket.socket(fileno=os.dup(conn.pgconn.socket)) as own:
            own.shutdown(socket.SHUT_RDWR)
    except (psycopg.Error, OSError):  # it is over already
        return


def _of(values: list[str], place: int) -> str:
    return values[place] if len(values) > 1 else values[0]
