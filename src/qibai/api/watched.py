"""What ``/metrics`` says of papers, codes and pools, as the store has it."""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from qibai.api.connections import Connections
from qibai.config import PoolsConfig
from qibai.core.errors import QibaiError
from qibai.core.pilot import Span
from qibai.core.pools import Alert
from qibai.store import key_reads
from qibai.store.watch import Watched, watch

AGE_S: Final = 15.0  #: scrapes within it are answered from memory
_STATES: Final = ("free", "bound", "quarantined", "locked")
_POOL: Final = ("platform", "tenant", "province", "scene")


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
        return _Collector(self._known, self._reads)


class _Collector(Collector):
    def __init__(self, watched: Watched | None, reads: dict[str, int]) -> None:
        self._watched, self._reads = watched, reads

    def collect(self) -> Iterable[Metric]:
        watched = self._watched
        if watched is None:
            return
        yield from _papers(watched)
        codes = GaugeMetricFamily(
            "qibai_codes", "Codes that somebody has to look at, by state.", labels=["state"]
        )
        codes.add_metric(["uncertified"], watched.uncertified)
        codes.add_metric(["set_aside"], watched.set_aside)
        codes.add_metric(["draining"], watched.draining)
        yield codes
        yield from _pools(watched)
        read = CounterMetricFamily(
            "qibai_real_numbers_read",
            "Real numbers that were shown whole to keys of a tenant.",
            labels=["tenant"],
        )
        for tenant, count in self._reads.items():
            read.add_metric([tenant], count)
        yield read


def _papers(watched: Watched) -> Iterable[GaugeMetricFamily]:
    labels = ["kind", "platform", "number"]
    ends = GaugeMetricFamily("qibai_paper_end_timestamp_seconds", "When a paper ends.", labels=labels)
    for one in watched.papers:
        end = Span.days(one.last_day - timedelta(days=1), one.last_day).end
        if one.revoked_at is not None:
            end = min(end, one.revoked_at.timestamp())
        ends.add_metric([one.kind, one.platform, one.number], end)
    yield ends


def _pools(watched: Watched) -> Iterable[GaugeMetricFamily]:
    numbers = GaugeMetricFamily(
        "qibai_pool_numbers", "Numbers of a pool, by state.", labels=[*_POOL, "state"]
    )
    ends = GaugeMetricFamily(
        "qibai_pool_exhausted_timestamp_seconds",
        "When no number of a pool is free at the present trend.",
        labels=[*_POOL],
    )
    alerts = GaugeMetricFamily("qibai_pool_alert", "1 while a pool is low.", labels=[*_POOL, "alert"])
    counted = GaugeMetricFamily("qibai_pool_counted_timestamp_seconds", "When pools were last counted.")
    for one in watched.pools:
        labels = [one.platform or "", one.tenant or "", one.province or "all", one.scene or "all"]
        for state in _STATES:
            if one.scene is None or state in ("bound", "quarantined"):
                numbers.add_metric([*labels, state], getattr(one, state))
        if one.exhausted_at is not None:
            ends.add_metric(labels, one.exhausted_at.timestamp())
        for alert in Alert if one.scene is None and one.tenant is not None else ():
            alerts.add_metric([*labels, alert], float(one.alert is alert))
    if watched.pools:
        counted.add_metric([], watched.pools[0].at.timestamp())
    yield from (numbers, ends, alerts, counted)
