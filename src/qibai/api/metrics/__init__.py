"""``/metrics``: what each process counts, what the parts report, what the node and the database show."""

from qibai.api.metrics.worker import (
    Metrics,
    binds_counted,
    connection_ended,
    releases_counted,
    traced_by_party,
)

__all__ = ["Metrics", "binds_counted", "connection_ended", "releases_counted", "traced_by_party"]
