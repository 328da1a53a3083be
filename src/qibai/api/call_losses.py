"""What could not be kept of calls, for ``/metrics``: counters over all processes of this home."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from qibai.core.losses import CALL_LOSSES
from qibai.store.loss_counts import read_losses


class CallLosses(Collector):
    """Reads the counts at each scrape."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def collect(self) -> Iterable[CounterMetricFamily]:
        for name, (count, _) in read_losses(self._run_dir).items():
            yield CounterMetricFamily(f"qibai_{name}", CALL_LOSSES[name].says, value=float(count))
