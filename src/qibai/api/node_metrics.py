"""When this home was backed up, and its audit trail anchored, for ``/metrics``."""

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qibai.config import Config
from qibai.store.anchors import path_of
from qibai.store.backup import last_backup
from qibai.store.sinks import SinkState, states

BACKUP = "qibai_backup_last_timestamp_seconds"
ANCHOR = "qibai_audit_anchor_last_timestamp_seconds"


class NodeMetrics(Collector):
    """Looks at the home at each scrape; what never was has no sample."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def collect(self) -> Iterable[Metric]:
        backup = GaugeMetricFamily(BACKUP, "When the last complete backup was made.")
        last = last_backup(self._config)
        if last is not None:
            backup.add_metric([], last.made_at.timestamp())
        anchor = GaugeMetricFamily(ANCHOR, "When the audit trail was last anchored; that follows each entry.")
        with suppress(OSError):
            anchor.add_metric([], path_of(self._config).stat().st_mtime)
        failures = CounterMetricFamily(
            "qibai_audit_sink_failures",
            "Anchors that did not reach a sink of the audit trail.",
            labels=["sink"],
        )
        up = GaugeMetricFamily(
            "qibai_audit_sink_up",
            "1 if the last anchor reached the sink of the audit trail.",
            labels=["sink"],
        )
        known = states(self._config.home)
        for name, target in (("syslog", self._config.audit.syslog), ("http", self._config.audit.http)):
            if target:
                state = known.get(name, SinkState())
                failures.add_metric([name], state.failures)
                up.add_metric([name], float(not state.error))
        yield from (backup, anchor, failures, up)
