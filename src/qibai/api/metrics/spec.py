"""What a metric is called, what kind it is and what it says: ``/metrics`` and its page are made of these."""

from typing import Literal, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]


class MetricSpec(NamedTuple):
    """``name``: of a counter without ``_total``. ``says``: one sentence, the HELP text.

    ``shared``: it is read from the database, so all nodes show the same value. Take the ``max`` of it over
    nodes; of all other metrics take the ``sum``.
    """

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    shared: bool = False

    @property
    def sample(self) -> str:
        """The name in a query."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def family(self) -> CounterMetricFamily | GaugeMetricFamily:
        """A family without samples yet."""
        family = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return family(self.name, self.says, labels=self.labels)
