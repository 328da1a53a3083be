"""``/metrics``: counts and times by route template, summed over all worker processes.

prometheus-client decides on import whether values are shared between processes: ``serve`` sets
PROMETHEUS_MULTIPROC_DIR first.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from qibai.api.call_losses import CallLosses
from qibai.core.losses import LOSSES

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_LINK_FIGURES: Final = ("sessions", "in_flight", "window", "received", "sent", "refused")

_OWN: Final = CollectorRegistry()  # of this process
_REQUESTS: Final = Counter(
    "qibai_api_requests", "Requests answered.", ["method", "route", "status"], registry=_OWN
)
_SECONDS: Final = Histogram(
    "qibai_api_request_seconds", "Time to answer.", ["method", "route"], registry=_OWN, buckets=_BUCKETS
)
_WAITING: Final = Gauge(
    "qibai_api_waiting",
    "Bindings and releases that wait for their batch.",
    ["kind"],
    registry=_OWN,
    multiprocess_mode="livesum",
)
_FREE: Final = Gauge(
    "qibai_api_connections_free",
    "Database connections not in use.",
    registry=_OWN,
    multiprocess_mode="livesum",
)


class Metrics:
    """This worker's measurements, and everybody's in the text format."""

    def __init__(self, run_dir: Path, shared: str | None) -> None:
        """``shared``: the folder of PROMETHEUS_MULTIPROC_DIR, None for this process alone."""
        self._recorder = run_dir / "recorder.json"
        self._gateway = run_dir / "gateway.json"
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
        calls = CallLosses(self._recorder.parent)
        for collector in (_Recorder(self._recorder), _Gateway(self._gateway), calls, *more):
            registry.register(collector)
        return generate_latest(registry) + (b"" if self._shared else generate_latest(_OWN))


def _said(path: Path) -> dict[str, Any] | None:
    """What a process wrote of itself, or None."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class _Recorder(Collector):
    """What the recorder wrote of itself: every number of its file is a gauge."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterable[GaugeMetricFamily]:
        stats = _said(self._path)
        up = float(stats is not None)
        yield GaugeMetricFamily("qibai_recorder_reports", "Whether the recorder has reported.", value=up)
        for name, value in (stats or {}).items():
            if isinstance(value, int | float) and str(name).isidentifier():
                yield GaugeMetricFamily(
                    f"qibai_recorder_{name}", f"{name} of the recorder.", value=float(value)
                )


class _Gateway(Collector):
    """What the gateway of text messages wrote of itself."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterable[Metric]:
        stats = _said(self._path)
        up = float(stats is not None)
        yield GaugeMetricFamily("qibai_gateway_told", "Whether the gateway has reported.", value=up)
        for name, value in (stats or {}).items():
            if isinstance(value, int | float):
                yield GaugeMetricFamily(
                    f"qibai_gateway_{name}", f"{name} of the gateway.", value=float(value)
                )
            elif name == "losses" and isinstance(value, dict):
                for loss, count in value.items():
                    if loss in LOSSES:
                        yield CounterMetricFamily(f"qibai_{loss}", LOSSES[loss].says, value=float(count))
            elif isinstance(value, dict):  # counts by reason or state
                family = GaugeMetricFamily(f"qibai_gateway_{name}", f"{name}, by kind.", labels=["kind"])
                for kind, count in value.items():
                    family.add_metric([str(kind)], float(count))
                yield family
        yield from _links((stats or {}).get("links", []))


def _links(links: list[dict[str, Any]]) -> Iterable[GaugeMetricFamily]:
    up = GaugeMetricFamily("qibai_link_up", "Whether the link is up.", labels=["link", "protocol"])
    families = [
        GaugeMetricFamily(f"qibai_link_{name}", f"{name} of the link.", labels=["link", "protocol"])
        for name in _LINK_FIGURES
    ]
    for link in links:
        labels = [str(link["name"]), str(link["protocol"])]
        up.add_metric(labels, float(link["state"] == "up"))
        for name, family in zip(_LINK_FIGURES, families, strict=True):
            family.add_metric(labels, float(link[name]))
    yield from (up, *families)
