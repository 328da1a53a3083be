"""A PostgreSQL session for workers that must never stall: prepared, binary, a deadline on everything.

``psycopg.pq`` is libpq itself; a look-up through it costs a fraction of one through a cursor.
"""

import select
import time
from collections.abc import Sequence
from typing import Final, NoReturn

from psycopg import OperationalError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from qibai.core.errors import StoreUnavailable
from qibai.store.hosts import Hosts

BACK_OFF_S: Final = 1.0
CONNECT_S: Final = 0.5
HOST_S: Final = 0.2  #: for one of several hosts to take a connection
ROLE_S: Final = 1.0  #: how often it is looked at whether a standby is one still
RENEW_S: Final = 30.0  #: how often a standby is looked for while there is none
GRACE_MS: Final = 200  # beyond the server's own statement_timeout, for a server that does not even answer

#: A look-up by key needs no plan of its own for each value, and must not keep a sequential scan that was
#: cheap while the table was empty.
_SETTINGS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
}
_BINARY: Final = pq.Format.BINARY
#: The server stops, starts, recovers or is a standby now: another connection may find a better one.
_AWAY: Final = frozenset({"25006", "57P01", "57P02", "57P03", "53300"})
_DONE: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class _Broken(Exception):
    """The connection is of no more use."""


class Session:
    """One connection, made at the first use, and again after it broke.

    While the server cannot be reached, one attempt a second is made; all uses between fail at once. Host
    names are looked up by the system's resolver, which keeps no deadline of ours: give addresses or a socket.
    """

    def __init__(self, dsn: str, statement_timeout_ms: int, application: str) -> None:
        settings = {"statement_timeout": str(statement_timeout_ms), **_SETTINGS}
        options = [str(conninfo_to_dict(dsn).get("options") or "")]
        options += [f"-c {name}={value}" for name, value in settings.items()]
        info = make_conninfo(dsn, application_name=application, options=" ".join(options).strip())
        self._hosts = Hosts(info)
        self._place = 0
        self._look_at = 0.0
        self._patience_ms = statement_timeout_ms + GRACE_MS
        self._conn: pq.abc.PGconn | None = None
        self._readable = select.poll()
        self._prepared: set[bytes] = set()
        self._not_before = 0.0

    def query(self, name: bytes, statement: bytes, params: Sequence[bytes | None]) -> pq.abc.PGresult:
        """Run a statement that may safely run twice; ``name`` stands for ``statement``. All is binary.

        Raise StoreUnavailable, within a second, when there is no answer.
        """
        if self._hosts.prefers_standby and self._conn is not None and time.monotonic() >= self._look_at:
            self._renew(self._conn)
        conn = self._conn
        if conn is not None:
            try:
                return self._run(conn, name, statement, params)
            except _Broken:  # the server may have been restarted since: once more on a new connection
                self.close()
        conn = self._connect()
        try:
            return self._run(conn, name, statement, params)
        except _Broken:
            self._fail()

    def close(self) -> None:
        """Let go of the connection; the next use makes another."""
        if self._conn is not None:
            self._conn.finish()
            self._conn = None
        self._prepared.clear()

    def _run(
        self, conn: pq.abc.PGconn, name: bytes, statement: bytes, params: Sequence[bytes | None]
    ) -> pq.abc.PGresult:
        try:
            if name not in self._prepared:
                conn.send_prepare(name, statement)
                self._result(conn)
                self._prepared.add(name)
            conn.send_query_prepared(name, params, [_BINARY] * len(params), _BINARY)
            return self._result(conn)
        except OperationalError as exc:
            raise _Broken from exc

    def _result(self, conn: pq.abc.PGconn) -> pq.abc.PGresult:
        while True:
            if not self._readable.poll(self._patience_ms):
                self._hosts.failed(self._place)
                self._fail()  # alive but stuck: trying once more would only take as long again
            conn.consume_input()
            if not conn.is_busy():
                break
        result = conn.get_result()
        while conn.get_result() is not None:
            pass
        if result is None:
            raise _Broken
        if result.status not in _DONE:
            if conn.status != pq.ConnStatus.OK or _state(result) in _AWAY:
                raise _Broken
            raise _refusal(result)
        return result

    def _connect(self) -> pq.abc.PGconn:
        now = time.monotonic()
        if now < self._not_before:
            raise StoreUnavailable
        conn = self._first(now + CONNECT_S)
        if conn is None:
            self._fail()
        self._use(conn)
        return conn

    def _first(self, deadline: float, *, standby_only: bool = False) -> pq.abc.PGconn | None:
        """The first host that takes a connection in its time."""
        hung: set[int] = set()
        for attempt in self._hosts.attempts(standby_only=standby_only):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if attempt.place in hung:
                continue
            within = min(left, HOST_S) if self._hosts.several else left
            began = time.monotonic()
            conn = _open(attempt.conninfo.encode(), began + within)
            if conn is not None:
                self._place = attempt.place
                self._hosts.worked(attempt.place)
                return conn
            if not standby_only:
                self._hosts.failed(attempt.place)
            if time.monotonic() - began >= within:
                hung.add(attempt.place)
        return None

    def _use(self, conn: pq.abc.PGconn) -> None:
        self._conn = conn
        conn.notice_handler = None
        self._readable = select.poll()
        self._readable.register(conn.socket, select.POLLIN)
        self._look_at = time.monotonic() + ROLE_S

    def _renew(self, conn: pq.abc.PGconn) -> None:
        """If this server is no standby (any more), go to one that is."""
        self._look_at = time.monotonic() + ROLE_S
        if conn.parameter_status(b"in_hot_standby") != b"off":
            return
        found = self._first(time.monotonic() + CONNECT_S, standby_only=True)
        if found is not None:
            self.close()
            self._use(found)
        else:
            self._look_at = time.monotonic() + RENEW_S

    def _fail(self) -> NoReturn:
        self.close()
        self._not_before = time.monotonic() + BACK_OFF_S
        raise StoreUnavailable


def _open(conninfo: bytes, deadline: float) -> pq.abc.PGconn | None:
    """A connection, or None if it was not made before ``deadline``."""
    conn = pq.PGconn.connect_start(conninfo)
    state: int = pq.PollingStatus.WRITING
    while conn.status != pq.ConnStatus.BAD and state != pq.PollingStatus.OK:
        left = deadline - time.monotonic()
        waiting = select.poll()
        waiting.register(conn.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
        if left <= 0 or not waiting.poll(left * 1000):
            break
        state = conn.connect_poll()
        if state == pq.PollingStatus.FAILED:
            break
    if conn.status == pq.ConnStatus.OK and state == pq.PollingStatus.OK:
        return conn
    conn.finish()
    return None


def _state(result: pq.abc.PGresult) -> str:
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"?").decode()


def _refusal(result: pq.abc.PGresult) -> StoreUnavailable:
    """The server answered, but with an error, such as the statement time-out; its text may hold values."""
    state = _state(result)
    if state == "42P01":
        return StoreUnavailable("the database has no schema; run qibai migrate")
    return StoreUnavailable(f"the database could not answer (SQLSTATE {state}); try again shortly")
