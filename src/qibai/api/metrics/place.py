"""What ``/metrics`` says of papers, codes and pools, as the store has it; all nodes say the same."""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from qibai.api.metrics.spec import MetricSpec
from qibai.config import PoolsConfig
from qibai.core.errors import QibaiError
from qibai.core.pilot import Span
from qibai.core.pools import Alert
from qibai.store import key_reads
from qibai.store.connections import Connections
from qibai.store.watch import Watched, watch

AGE_S: Final = 15.0  #: scrapes within it are answered from memory
_STATES: Final = ("free", "bound", "quarantined", "locked")
_POOL: Final = ("platform", "tenant", "province", "scene")

PAPER_END: Final = MetricSpec(
    "qibai_paper_end_timestamp_seconds",
    "gauge",
    "When a paper ends.",
    ("kind", "platform", "number"),
    shared=True,
)
CODES: Final = MetricSpec(
    "qibai_codes", "gauge", "Codes that somebody has to look at, by state.", ("state",), shared=True
)
POOL_NUMBERS: Final = MetricSpec(
    "qibai_pool_numbers", "gauge", "Numbers of a pool, by state.", (*_POOL, "state"), shared=True
)
POOL_EXHAUSTED: Final = MetricSpec(
    "qibai_pool_exhausted_timestamp_seconds",
    "gauge",
    "When no number of a pool is free at the present trend.",
    _POOL,
    shared=True,
)
POOL_ALERT: Final = MetricSpec(
    "qibai_pool_alert", "gauge", "1 while a pool is low, by alert.", (*_POOL, "alert"), shared=True
)
POOL_COUNTED: Final = MetricSpec(
    "qibai_pool_counted_timestamp_seconds", "gauge", "When pools were last counted.", shared=True
)
READ: Final = MetricSpec(
    "qibai_real_numbers_read",
    "counter",
    "Real numbers that were shown whole to keys of a tenant.",
    ("tenant",),
    shared=True,
)
SPECS: Final = (PAPER_END, CODES, POOL_NUMBERS, POOL_EXHAUSTED, POOL_ALERT, POOL_COUNTED, READ)


class Watcher:
    """Reads it for scrapes; without an answer of the store there are no figures rather than old ones."""

    def __init__(self, connections: Connections, config: PoolsConfig) -> None:
        self._connections, self._config = connections, config
        self._known: Watched | None = None
        self._reads: dict[str, int] = {}
        self._read_at = float("-inf")

    async def collector(self) -> Collector:
        """What a registry takes."""
        if time.monotonic() - self._read_at > AGE_S:
            try:
                async with self._connections.get(timeout_s=2.0) as conn:
                    self._known = await watch(conn, self._config)
                    self._reads = await key_reads.by_tenant(conn)
            except QibaiError:
                self._known = None
            self._read_at = time.monotonic()
        return PlaceMetrics(self._known, self._reads)


class PlaceMetrics(Collector):
    """What one look at the database has found; nothing where the database did not answer."""

    def __init__(self, watched: Watched | None, reads: dict[str, int]) -> None:
        self._watched, self._reads = watched, reads

    def collect(self) -> Iterable[Metric]:
        watched = self._watched
        if watched is None:
            return
        yield _papers(watched)
        codes = CODES.family()
        for state in ("uncertified", "set_aside", "draining"):
            codes.add_metric([state], getattr(watched, state))
        yield codes
        yield from _pools(watched)
        read = READ.family()
        for tenant, count in self._reads.items():
            read.add_metric([tenant], count)
        yield read


def _papers(watched: Watched) -> Metric:
    ends = PAPER_END.family()
    for paper in watched.papers:
        end = Span.days(paper.last_day - timedelta(days=1), paper.last_day).end
        if paper.revoked_at is not None:
            end = min(end, paper.revoked_at.timestamp())
        ends.add_metric([paper.kind, paper.platform, paper.number], end)
    return ends


def _pools(watched: Watched) -> Iterable[Metric]:
    numbers, ends, alerts, counted = (
        spec.family() for spec in (POOL_NUMBERS, POOL_EXHAUSTED, POOL_ALERT, POOL_COUNTED)
    )
    for pool in watched.pools:
        labels = [pool.platform or "", pool.tenant or "", pool.province or "all", pool.scene or "all"]
        for state in _STATES:
            if pool.scene is None or state in ("bound", "quarantined"):
                numbers.add_metric([*labels, state], getattr(pool, state))
        if pool.exhausted_at is not None:
            ends.add_metric(labels, pool.exhausted_at.timestamp())
        for alert in Alert if pool.scene is None and pool.tenant is not None else ():
            alerts.add_metric([*labels, alert], float(pool.alert is alert))
    if watched.pools:
        counted.add_metric([], watched.pools[0].at.timestamp())
    yield from (numbers, ends, alerts, counted)
