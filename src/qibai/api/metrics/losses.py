"""What could not be kept of calls, for ``/metrics``: counters over all processes of this home."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from qibai.api.metrics.spec import MetricSpec
from qibai.core.losses import CALL_LOSSES, LOSSES, Loss
from qibai.store.loss_counts import read_losses


def _specs(losses: Mapping[str, Loss]) -> dict[str, MetricSpec]:
    return {name: MetricSpec(f"qibai_{name}", "counter", loss.says) for name, loss in losses.items()}


MESSAGE_LOSS: Final = _specs(LOSSES)  #: the gateway's file has their counts
CALL_LOSS: Final = _specs(CALL_LOSSES)


class CallLosses(Collector):
    """Reads the counts at each scrape."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def collect(self) -> Iterable[Metric]:
        for name, (count, _) in read_losses(self._run_dir).items():
            family = CALL_LOSS[name].family()
            family.add_metric([], float(count))
            yield family
