"""``/metrics``: counts and times by route template, summed over all worker processes.

prometheus-client decides on import whether values are shared between processes: ``serve`` sets
PROMETHEUS_MULTIPROC_DIR first.
"""

from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from qibai.api.call_losses import CallLosses
from qibai.api.part_metrics import PartMetrics

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

_OWN: Final = CollectorRegistry()  # of this process
_REQUESTS: Final = Counter(
    "qibai_api_requests", "Requests that the API has answered.", ["method", "route", "status"], registry=_OWN
)
_SECONDS: Final = Histogram(
    "qibai_api_request_duration_seconds",
    "Time that the API took to answer a request.",
    ["method", "route"],
    registry=_OWN,
    buckets=_BUCKETS,
)
_WAITING: Final = Gauge(
    "qibai_api_waiting",
    "Bindings and releases that wait for their batch, by kind.",
    ["kind"],
    registry=_OWN,
    multiprocess_mode="livesum",
)
_FREE: Final = Gauge(
    "qibai_api_connections_free",
    "Connections to the database that no request of the API uses.",
    registry=_OWN,
    multiprocess_mode="livesum",
)
_ENDED: Final = Counter(
    "qibai_api_connections_ended",
    "Connections that the API ended because a client went beyond a limit, by limit.",
    ["limit"],
    registry=_OWN,
)
_TRACES: Final = Counter(
    "qibai_traces_by_party", "Traces by a party's number, by outcome.", ["outcome"], registry=_OWN
)


def traced_by_party(outcome: str) -> None:
    """Count a trace that was `answered`, or `refused` as too many."""
    _TRACES.labels(outcome).inc()


def connection_ended(limit: str) -> None:
    """Count a connection that was ended at a limit."""
    _ENDED.labels(limit).inc()


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
