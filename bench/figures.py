"""Figures and how they are shown: a value, its reference, their ratio, and the mark it should meet."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Figure:
    """One line of the report. ``at_most``/``at_least`` is the mark that ``ratio`` is held against."""

    part: str
    name: str
    unit: str
    values: list[float]
    reference: str = ""
    reference_values: list[float] = field(default_factory=list)
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    paired: bool = False  #: taken in turns with the reference: ``ratio`` is the median of the rounds' own

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        if not self.reference_values:
            return None
        if self.paired:
            turns = zip(self.values, self.reference_values, strict=True)
            return statistics.median(value / base for value, base in turns)
        base = statistics.median(self.reference_values)
        return self.value / base if base else None

    @property
    def met(self) -> bool | None:
        """None: there is no mark to meet."""
        if self.ratio is None or (self.at_most is None and self.at_least is None):
            return None
        if self.at_most is not None:
            return self.ratio <= self.at_most
        return self.at_least is not None and self.ratio >= self.at_least

    @property
    def mark(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g}×"
        return f"≥ {self.at_least:g}×" if self.at_least is not None else ""


class Report:
    """Collects figures; prints each when it comes, the table at the end, and JSON on request.

    ``judges``: whether figures are held against their marks. Runs that are too short mean nothing.
    """

    def __init__(self, *, judges: bool = True) -> None:
        self._judges = judges
        self.figures: list[Figure] = []
        self._out = Console(highlight=False)
        if not self._out.is_terminal:
            self._out = Console(highlight=False, width=170)

    def say(self, text: str) -> None:
        """Progress."""
        self._out.print(f"[dim]· {text}[/dim]")

    def add(self, figure: Figure) -> None:
        if not self._judges:
            figure.at_most = figure.at_least = None
        self.figures.append(figure)
        self._out.print("  " + _line(figure))

    def show(self, machine: str) -> None:
        table = Table(title=f"Qibai bench, medians — {machine}", title_justify="left")
        for title in ("part", "what", "value", "unit", "reference", "its value", "ratio", "mark", ""):
            table.add_column(title, justify="right" if title in ("value", "its value", "ratio") else "left")
        for figure in self.figures:
            table.add_row(*_cells(figure))
        self._out.print(table)
        for note in dict.fromkeys(f"{figure.name}: {figure.note}" for figure in self.figures if figure.note):
            self._out.print(f"  {note}")

    def write_json(self, path: Path, machine: str) -> None:
        rows = [
            {**asdict(f), "value": f.value, "ratio": f.ratio, "mark": f.mark, "met": f.met}
            for f in self.figures
        ]
        path.write_text(json.dumps({"machine": machine, "figures": rows}, indent=2, ensure_ascii=False))


def _verdict(figure: Figure) -> str:
    return {True: "met", False: "MISSED", None: ""}[figure.met]


def _cells(figure: Figure) -> Sequence[str]:
    base = f"{statistics.median(figure.reference_values):,.0f}" if figure.reference_values else ""
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:,.2f}"
    verdict = _verdict(figure)
    return figure.part, figure.name, value, figure.unit, figure.reference, base, ratio, figure.mark, verdict


def _line(figure: Figure) -> str:
    _, name, value, unit, reference, base, ratio, mark, verdict = _cells(figure)
    against = f" — {ratio}× of {reference} ({base})" if ratio else ""
    return f"{name}: {value} {unit}{against} {mark} {verdict}".rstrip()
