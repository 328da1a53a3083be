"""What the alert rules and the dashboard ask Prometheus for, against what ``/metrics`` has."""

import re
from collections.abc import Iterator

from qibai.api.metrics.catalogue import EVERY
from qibai.api.problems import STATUS
from qibai.core.figures import ANSWERED, FAILED, UNANSWERED
from qibai.core.messages import MessageState
from qibai.core.pools import Alert
from qibai.records.meter import NO_PEER, REASONS, RULES

_SELECTOR = re.compile(r"\b(qibai_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(?:=~|!=|=|!~)"([^"]*)"')
_SERVERS_OWN = {"instance", "job", "le"}  # labels that Prometheus adds, and those of a histogram
#: The values of labels that are a closed list.
_VALUES = {
    "rule": RULES,
    "reason": REASONS,
    "outcome": {ANSWERED, UNANSWERED, FAILED},
    "result": {*STATUS, "bound", "replayed", "released"},
    "state": {*MessageState, "ringing", "answered", "free", "bound", "quarantined", "locked"},
    "alert": set(Alert),
    "peer": {NO_PEER},
}


def mistakes(query: str) -> Iterator[str]:
    """What ``query`` names that no metric, no label of the metric, or no value of the label is."""
    for name, inside in _SELECTOR.findall(query):
        spec = EVERY.get(name) or EVERY.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if spec is None or (name not in EVERY and spec.kind != "histogram"):
            yield f"there is no metric {name}"
            continue
        for label, values in _MATCHER.findall(inside):
            if label not in spec.labels and label not in _SERVERS_OWN:
                yield f"{name} has no label {label}"
            for value in values.split("|"):
                if label in _VALUES and "$" not in value and value not in _VALUES[label]:
                    yield f'{name} never has {label}="{value}"'
