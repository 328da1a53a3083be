"""``/metrics``: counts and times by route template, summed over all worker processes.

prometheus-client decides on import whether values are shared between processes: ``serve`` sets
PROMETHEUS_MULTIPROC_DIR first.
"""

from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from qibai.api.metrics.losses import CallLosses
from qibai.api.metrics.parts import PartMetrics
from qibai.api.metrics.spec import MetricSpec

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

REQUESTS: Final = MetricSpec(
    "qibai_api_requests", "counter", "Requests that the API has answered.", ("method", "route", "status")
)
DURATION: Final = MetricSpec(
    "qibai_api_request_duration_seconds",
    "histogram",
    "Time that the API took to answer a request.",
    ("method", "route"),
)
WAITING: Final = MetricSpec(
    "qibai_api_waiting", "gauge", "Bindings and releases that wait for their batch, by kind.", ("kind",)
)
FREE: Final = MetricSpec(
    "qibai_api_connections_free", "gauge", "Connections to the database that no request of the API uses."
)
ENDED: Final = MetricSpec(
    "qibai_api_connections_ended",
    "counter",
    "Connections that the API ended because a client went beyond a limit, by limit.",
    ("limit",),
)
TRACES: Final = MetricSpec(
    "qibai_traces_by_party", "counter", "Traces by a party's number, by outcome.", ("outcome",)
)
BINDS: Final = MetricSpec(
    "qibai_binds",
    "counter",
    "Well-formed bindings that the API was asked to make, by result: bound, replayed, or the error's code.",
    ("result",),
)
RELEASES: Final = MetricSpec(
    "qibai_releases",
    "counter",
    "Bindings that the API was asked to release, by result: released, or the error's code.",
    ("result",),
)
SPECS: Final = (REQUESTS, DURATION, WAITING, FREE, ENDED, TRACES, BINDS, RELEASES)

disable_created_metrics()  # type: ignore[no-untyped-call]  # several processes share counters, none began them
_OWN: Final = CollectorRegistry()  # of this process


def _counter(spec: MetricSpec) -> Counter:
    return Counter(spec.name, spec.says, spec.labels, registry=_OWN)


def _gauge(spec: MetricSpec) -> Gauge:
    return Gauge(spec.name, spec.says, spec.labels, registry=_OWN, multiprocess_mode="livesum")


_REQUESTS: Final = _counter(REQUESTS)
_SECONDS: Final = Histogram(DURATION.name, DURATION.says, DURATION.labels, registry=_OWN, buckets=_BUCKETS)
_WAITING: Final = _gauge(WAITING)
_FREE: Final = _gauge(FREE)
_ENDED: Final = _counter(ENDED)
_TRACES: Final = _counter(TRACES)
_BINDS: Final = _counter(BINDS)
_RELEASES: Final = _counter(RELEASES)


def traced_by_party(outcome: str) -> None:
    """Count a trace that was `answered`, or `refused` as too many."""
    _TRACES.labels(outcome).inc()


def connection_ended(limit: str) -> None:
    """Count a connection that was ended at a limit."""
    _ENDED.labels(limit).inc()


def count_binds(result: str, items: int) -> None:
    """Count bindings that were asked for and got this result."""
    _BINDS.labels(result).inc(items)


def count_releases(result: str, items: int) -> None:
    """Count releases that were asked for and got this result."""
    _RELEASES.labels(result).inc(items)


class Metrics:
    """This worker's measurements, and everybody's in the text format."""

    def __init__(self, run_dir: Path, shared: str | None) -> None:
        """``shared``: the folder of PROMETHEUS_MULTIPROC_DIR, None for this process alone."""
        self._run_dir = run_dir
        self._shared = shared
        self._labels: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        key = (method, route, status)
        children = self._labels.get(key)
        if children is None:
            name = method if method in _METHODS else "other"
            children = self._labels[key] = (
                _REQUESTS.labels(name, route, str(status)),
                _SECONDS.labels(name, route),
            )
        children[0].inc()
        children[1].observe(seconds)

    def load(self, *, binds: int, releases: int, connections_free: int) -> None:
        """Note how busy this worker is."""
        _WAITING.labels("bind").set(binds)
        _WAITING.labels("release").set(releases)
        _FREE.set(connections_free)

    def text(self, *more: Collector) -> bytes:
        """All of it, and what ``more`` has, as Prometheus reads it."""
        registry = CollectorRegistry()
        if self._shared is not None:
            MultiProcessCollector(registry, self._shared)  # type: ignore[no-untyped-call]
        for collector in (PartMetrics(self._run_dir), CallLosses(self._run_dir), *more):
            registry.register(collector)
        return generate_latest(registry) + (b"" if self._shared else generate_latest(_OWN))
