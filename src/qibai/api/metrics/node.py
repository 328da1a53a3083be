"""This node, for ``/metrics``: its release, its last backup, and where its audit trail was anchored."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from qibai import __version__
from qibai.api.metrics.spec import MetricSpec
from qibai.config import Config
from qibai.store.anchors import path_of
from qibai.store.backup import last_backup
from qibai.store.sinks import SinkState, states

BUILD: Final = MetricSpec(
    "qibai_build_info", "gauge", "Always 1; the labels name the release and the node.", ("version", "node")
)
BACKUP: Final = MetricSpec(
    "qibai_backup_last_timestamp_seconds", "gauge", "When the last complete backup was made."
)
ANCHOR: Final = MetricSpec(
    "qibai_audit_anchor_last_timestamp_seconds",
    "gauge",
    "When the audit trail was last anchored; that follows each entry.",
)
SINK_FAILURES: Final = MetricSpec(
    "qibai_audit_sink_failures",
    "counter",
    "Anchors that did not reach a sink of the audit trail.",
    ("sink",),
)
SINK_UP: Final = MetricSpec(
    "qibai_audit_sink_up", "gauge", "1 if the last anchor reached the sink of the audit trail.", ("sink",)
)
SPECS: Final = (BUILD, BACKUP, ANCHOR, SINK_FAILURES, SINK_UP)


class NodeMetrics(Collector):
    """Looks at the home at each scrape; what never was has no sample."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def collect(self) -> Iterable[Metric]:
        build, backup, anchor, failures, up = (spec.family() for spec in SPECS)
        build.add_metric([__version__, self._config.node], 1.0)
        last = last_backup(self._config)
        if last is not None:
            backup.add_metric([], last.made_at.timestamp())
        with suppress(OSError):
            anchor.add_metric([], path_of(self._config).stat().st_mtime)
        known = states(self._config.home)
        for name, target in (("syslog", self._config.audit.syslog), ("http", self._config.audit.http)):
            if target:
                state = known.get(name, SinkState())
                failures.add_metric([name], state.failures)
                up.add_metric([name], float(not state.error))
        yield from (build, backup, anchor, failures, up)
