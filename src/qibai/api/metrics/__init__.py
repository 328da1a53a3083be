"""``/metrics``: what each process counts, what the parts report, what the node and the database show."""

from qibai.api.metrics.worker import (
    Metrics,
    connection_ended,
    count_binds,
    count_releases,
    traced_by_party,
)

__all__ = ["Metrics", "connection_ended", "count_binds", "count_releases", "traced_by_party"]
