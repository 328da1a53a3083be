"""Counting pools: now and then, by one recorder for all of them.

Only some codes are counted, drawn at random from those of one tenant that are open in the same provinces, so
that counting costs the same whether a tenant has a hundred codes or a hundred thousand.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import psycopg
import structlog

from qibai.config import Config
from qibai.core.errors import QibaiError
from qibai.core.pools import Alert, CodeCount, Stratum, figures
from qibai.store import dsn
from qibai.store.connection import SyncConnection
from qibai.store.failures import own_errors
from qibai.store.hosts import connect
from qibai.store.pools import Pool, read_sync
from qibai.store.statements import load

COUNT_LOCK: Final = 7_005
LOOK_S: Final = 30.0  #: between looks at whether it is time to count
_SQL: Final = load("pools")
_log: Final = structlog.get_logger("qibai.pools")


def count_pools(
    conn: SyncConnection, config: Config, *, force: bool = False, stop: Callable[[], bool] = lambda: False
) -> bool:
    """Count if it is time, a code in a transaction; whether that was done. ``force``: in any case.

    ``conn`` commits by itself. Raise StoreUnavailable, SchemaError.
    """
    with own_errors():
        if force:
            conn.execute("SELECT pg_advisory_lock(%s)", [COUNT_LOCK])
        else:
            locked = conn.execute("SELECT pg_try_advisory_lock(%s)", [COUNT_LOCK]).fetchone()
            if locked is None or not locked[0]:
                return False  # somebody else does
        try:
            due = conn.execute(_SQL["due"], {"interval": config.pools.count_interval_s}).fetchone()
            if not force and (due is None or not due[0]):
                return False
            strata = _strata(conn, config, stop)
            if stop():
                return False
            _keep(conn, strata, config.pools.keep_days)
            return True
        finally:
            conn.execute("SELECT pg_advisory_unlock(%s)", [COUNT_LOCK])


class PoolCounter(threading.Thread):
    """Counts pools beside other work, and logs when an alert begins and when it is over."""

    def __init__(self, config: Config, look_s: float = LOOK_S) -> None:
        super().__init__(name="pools", daemon=True)
        self._config, self._look_s = config, look_s
        self._over = threading.Event()
        self._alerts: dict[tuple[str | None, str | None], Alert] = {}

    def run(self) -> None:
        while self._config.pools.count_interval_s and not self._over.wait(self._look_s):
            try:
                patience = self._config.store.connect_timeout_s
                with connect(dsn(self._config), autocommit=True, connect_timeout_s=patience) as conn:
                    if count_pools(conn, self._config, stop=self._over.is_set):
                        self._tell(read_sync(conn, self._config.pools))
            except (QibaiError, psycopg.Error) as exc:  # next time, then
                _log.warning("pools not counted", error=type(exc).__name__)

    def stop(self) -> None:
        """End after the code at hand."""
        self._over.set()
        self.join()

    def _tell(self, pools: list[Pool]) -> None:
        found = {(one.tenant, one.province): one for one in pools if one.alert is not None}
        for key, one in found.items():
            if self._alerts.get(key) is not one.alert:
                _log.warning(
                    "pool",
                    alert=one.alert,
                    tenant=one.tenant,
                    province=one.province,
                    free=one.free,
                    total=one.total,
                    exhausted_at=None if one.exhausted_at is None else one.exhausted_at.isoformat(),
                )
        for tenant, province in self._alerts.keys() - found.keys():
            _log.info("pool well again", tenant=tenant, province=province)
        self._alerts = {key: one.alert for key, one in found.items() if one.alert is not None}


def _strata(conn: SyncConnection, config: Config, stop: Callable[[], bool]) -> list[Stratum]:
    ruled = config.pilot.rules.calendar is not None
    rows = conn.execute(_SQL["strata"], {"ruled": ruled, "most": config.pools.count_codes}).fetchall()
    strata = []
    for tenant, provinces, usable, codes, chosen in rows:
        counted = []
        for code in chosen:
            if stop():
                return []
            counted.append(_count(conn, code))
        strata.append(Stratum(tenant, tuple(provinces), usable, codes, counted))
    return strata


def _count(conn: SyncConnection, code: int) -> CodeCount:
    (_, bound, quarantined, locked), *scenes = conn.execute(_SQL["count_code"], {"code": code}).fetchall()
    return CodeCount(bound, quarantined, locked, {name: (live, rest) for name, live, rest, _ in scenes})


def _keep(conn: SyncConnection, strata: list[Stratum], days: int) -> None:
    at = datetime.now(UTC)
    rows = [
        {
            "tenant": cell.tenant,
            "province": cell.province,
            "scene": cell.scene,
            "at": at,
            "total": one.total,
            "free": one.free,
            "bound": one.bound,
            "quarantined": one.quarantined,
            "locked": one.locked,
        }
        for cell, one in figures(strata).items()
    ]
    sample = {
        "at": at,
        "codes": sum(one.codes for one in strata),
        "counted": sum(len(one.counted) for one in strata),
    }
    with conn.transaction():
        conn.execute(_SQL["add_sample"], sample)
        with conn.cursor() as cur:
            cur.executemany(_SQL["add_figure"], rows)
        conn.execute(_SQL["forget_figures"], {"days": days})
        conn.execute(_SQL["forget_samples"], {"days": days})
