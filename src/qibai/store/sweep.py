"""Tidy away what has had its time. Nothing depends on it: it keeps tables small, and ends orphans.

Tables are walked page by page: an index on the time would cost more at every bind than it saves here. Rows
that somebody holds just now are left for the next sweep.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, LiteralString

import psycopg
import structlog
from psycopg import sql

from qibai.config import RetentionConfig
from qibai.core.errors import QibaiError
from qibai.store.failures import own_errors
from qibai.store.hosts import connect
from qibai.store.orphans import end_orphans
from qibai.store.rotating import partitions

SWEEP_LOCK: Final = 7_003
PAGES: Final = 256  #: of 8 KiB, in one transaction
PAUSE_S: Final = 0.05  #: between transactions
QUARANTINE: Final = timedelta(days=1)
INTERVAL_S: Final = 3_600.0  #: from the end of one sweep to the next

_log: Final = structlog.get_logger("qibai.sweep")

#: Which rows of a table are due.
_DUE: Final[dict[str, LiteralString]] = {
    "route": "free_at <= now()",
    "existing_route": "free_at <= now() AND NOT EXISTS (SELECT FROM binding b WHERE b.code = new_code"
    " AND b.id = new_id AND b.released_at IS NULL AND b.expires_at > now())",
    "existing_binding": "least(released_at, expires_at) < now() - make_interval(days => %(bindings_days)s)"
    " AND NOT EXISTS (SELECT FROM binding b WHERE b.code = new_code AND b.id = new_id)",
    "binding": "least(released_at, expires_at) < now() - make_interval(days => %(bindings_days)s)",
    "call": "started_at < now() - make_interval(days => %(calls_days)s) AND ended_at IS NOT NULL",
    "message": "created_at < now() - make_interval(days => %(messages_days)s) AND due_at IS NULL",
    "message_sent": "sent_at < now() - make_interval(days => %(messages_days)s)",
    "idempotency": "created_at < now() - interval '24 hours'",
    "nonce": "seen_at < now() - interval '10 minutes'",
    "call_order": "asked_at < now() - interval '24 hours'",
}
_HOT: Final = ("route", "binding", "call", "message", "message_sent", "existing_route", "existing_binding")


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows of each table were tidied away; all 0 when another sweep was running."""

    rows: dict[str, int]
    orphans: int = 0  #: pairs that outlived their binding, and were ended


def sweep(
    dsn: str,
    retention: RetentionConfig,
    *,
    quarantine: timedelta = QUARANTINE,
    pause_s: float = PAUSE_S,
    stop: Callable[[], bool] = lambda: False,
) -> Swept:
    """Go through all tables once, slowly; ``stop`` is asked between transactions. Raise StoreUnavailable.

    ``quarantine``: of pairs that outlived their binding.
    """
    rows = dict.fromkeys(_DUE, 0)
    with own_errors(), connect(dsn, autocommit=True) as conn:
        row = conn.execute("SELECT pg_try_advisory_lock(%s)", [SWEEP_LOCK]).fetchone()
        if row is None or not row[0]:
            return Swept(rows)
        days = {
            "bindings_days": retention.bindings_days,
            "calls_days": retention.calls_days,
            "messages_days": retention.messages_days,
        }
        for table in _DUE:
            for part in partitions(table) if table in _HOT else [table]:
                for removed in _delete_due(conn, part, table, days):
                    rows[table] += removed
                    if stop():
                        return Swept(rows)
                    time.sleep(pause_s)
        orphans, _ = end_orphans(conn, quarantine, pause_s=pause_s, stop=stop)
    return Swept(rows, orphans)


class Sweeper(threading.Thread):
    """Sweeps every ``interval_s`` seconds beside other work; several, on many machines, do no harm."""

    def __init__(
        self,
        dsn: str,
        retention: RetentionConfig,
        interval_s: float = INTERVAL_S,
        *,
        quarantine: timedelta = QUARANTINE,
        count_orphans: Callable[[int], None] = lambda count: None,
    ) -> None:
        """``count_orphans`` hears, from this thread, how many pairs had outlived their binding."""
        super().__init__(name="sweep", daemon=True)
        self._dsn = dsn
        self._quarantine, self._count_orphans = quarantine, count_orphans
        self._retention = retention
        self._interval_s = interval_s
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._interval_s):
            try:
                swept = sweep(self._dsn, self._retention, quarantine=self._quarantine, stop=self._over.is_set)
                _log.info("swept", **swept.rows, orphans=swept.orphans)
                if swept.orphans:
                    self._count_orphans(swept.orphans)
            except (QibaiError, psycopg.Error) as exc:  # next time, then
                _log.warning("sweep failed", error=type(exc).__name__)

    def stop(self) -> None:
        """End after the transaction at hand."""
        self._over.set()
        self.join()


def _delete_due(
    conn: psycopg.Connection[tuple[Any, ...]], part: str, table: str, days: dict[str, int]
) -> Iterator[int]:
    """Each step is one transaction; gives the number of rows that it removed."""
    found = conn.execute(
        "SELECT pg_relation_size(%s) / current_setting('block_size')::int", [part]
    ).fetchone()
    statement = sql.SQL(
        "DELETE FROM {part} WHERE ctid = ANY (ARRAY("
        "SELECT ctid FROM {part} WHERE ctid >= %(from)s::tid AND ctid < %(to)s::tid AND {due}"
        " FOR UPDATE SKIP LOCKED))"
    ).format(part=sql.Identifier(part), due=sql.SQL(_DUE[table]))
    for first in range(0, found[0] if found else 0, PAGES):
        span = {"from": f"({first},0)", "to": f"({first + PAGES},0)"}
        yield conn.execute(statement, days | span).rowcount
