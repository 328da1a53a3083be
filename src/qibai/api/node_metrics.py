"""When this home was backed up, and its audit trail anchored, for ``/metrics``."""

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from qibai.config import Config
from qibai.store.anchors import path_of
from qibai.store.backup import last_backup

BACKUP = "qibai_backup_last_timestamp_seconds"
ANCHOR = "qibai_audit_anchor_last_timestamp_seconds"


class NodeMetrics(Collector):
    """Looks at the home at each scrape; what never was has no sample."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def collect(self) -> Iterable[GaugeMetricFamily]:
        backup = GaugeMetricFamily(BACKUP, "When the last complete backup was made.")
        last = last_backup(self._config)
        if last is not None:
            backup.add_metric([], last.made_at.timestamp())
        anchor = GaugeMetricFamily(ANCHOR, "When the audit trail was last anchored; that follows each entry.")
        with suppress(OSError):
            anchor.add_metric([], path_of(self._config).stat().st_mtime)
        yield from (backup, anchor)
