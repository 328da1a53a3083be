"""Every metric of ``/metrics``, by what it is about. Page, dashboard and alert rules use these alone."""

from collections.abc import Mapping
from typing import Final

from qibai.api.metrics import engines, losses, node, parts, place, worker
from qibai.api.metrics.spec import MetricSpec

_POOLS: Final = (place.POOL_NUMBERS, place.POOL_EXHAUSTED, place.POOL_ALERT, place.POOL_COUNTED)
_NUMBERS: Final = (worker.BINDS, worker.RELEASES, *_POOLS, place.CODES, place.PAPER_END)
_API: Final = tuple(spec for spec in worker.SPECS if spec not in _NUMBERS)
_PARTS: Final = (*parts.UP.values(), *parts.RECORDER.values(), *parts.GATEWAY.values())
_AUDIT: Final = tuple(spec for spec in node.SPECS if spec is not node.BUILD)

CATALOGUE: Final[Mapping[str, tuple[MetricSpec, ...]]] = {
    "Calls": tuple(parts.CALLS.values()),
    "Peers and media": engines.SPECS,
    "Bindings, numbers and papers": _NUMBERS,
    "Text messages": (*parts.MESSAGES.values(), parts.LINK_UP, *parts.LINK.values()),
    "The API": (*_API, place.READ),
    "The parts of a node": (node.BUILD, *_PARTS),
    "Backup and audit trail": _AUDIT,
    "Losses": (*losses.CALL_LOSS.values(), *losses.MESSAGE_LOSS.values()),
}
EVERY: Final[Mapping[str, MetricSpec]] = {spec.sample: spec for specs in CATALOGUE.values() for spec in specs}
