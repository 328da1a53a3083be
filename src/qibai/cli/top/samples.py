"""The samples of one look at ``/metrics``, and how they changed since another."""

from collections import defaultdict
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
_COUNTED: Final = ("_total", "_bucket", "_sum", "_count")


class Samples:
    """Values by name and labels. ``at``: Unix seconds."""

    def __init__(self, at: float, values: dict[str, dict[Labels, float]]) -> None:
        self.at = at
        self._values = values

    @classmethod
    def read(cls, text: str, at: float) -> Self:
        """Read Prometheus' text format. Raise ValueError."""
        values: dict[str, dict[Labels, float]] = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        return cls(at, values)

    def since(self, before: Self) -> Self:
        """These samples with what was counted after ``before``. A process that restarted began at 0."""
        values = {}
        for name, found in self._values.items():
            earlier = before._values.get(name, {}) if name.endswith(_COUNTED) else {}
            values[name] = {
                labels: value - earlier.get(labels, 0.0) if value >= earlier.get(labels, 0.0) else value
                for labels, value in found.items()
            }
        return type(self)(self.at, values)

    def value(self, name: str, **labels: str) -> float | None:
        """The sum over all samples with these labels; None if there are none."""
        found = [value for having, value in self._found(name, labels)]
        return sum(found) if found else None

    def count(self, name: str, **labels: str) -> int:
        """The same as a whole number, 0 for nothing."""
        return round(self.value(name, **labels) or 0)

    def by(self, label: str, name: str, **labels: str) -> dict[str, int]:
        """The sums by the value of ``label``, the greatest first; what is 0 is left out."""
        sums: dict[str, float] = defaultdict(float)
        for having, value in self._found(name, labels):
            sums[having.get(label, "")] += value
        ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
        return {key: round(value) for key, value in ordered if value}

    def every(self, name: str) -> list[tuple[dict[str, str], float]]:
        """All samples of that name, with their labels."""
        return list(self._found(name, {}))

    def quantile(self, share: float, histogram: str, **labels: str) -> float | None:
        """The value that ``share`` of what was observed stays below, as Prometheus estimates it."""
        counts: dict[float, float] = defaultdict(float)
        for having, value in self._found(f"{histogram}_bucket", labels):
            counts[float(having["le"])] += value
        bounds = sorted(counts)
        if not bounds or not counts[bounds[-1]]:
            return None
        wanted = share * counts[bounds[-1]]
        lower, below = 0.0, 0.0
        for bound in bounds[:-1]:
            if counts[bound] >= wanted:
                return lower + (bound - lower) * (wanted - below) / (counts[bound] - below)
            lower, below = bound, counts[bound]
        return lower  # more than the last bound: nobody knows how much

    def _found(self, name: str, labels: dict[str, str]) -> list[tuple[dict[str, str], float]]:
        return [
            (having, value)
            for having, value in ((dict(key), value) for key, value in self._values.get(name, {}).items())
            if labels.items() <= having.items()
        ]
