"""Pools of numbers: how many are free, until when they last, and when to say so.

A number that is bound can be bound again for other parties, so a pool without free numbers still serves; but
each further binding makes its numbers more alike to their callers, and the first parties find none left.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

NUMBERS: Final = 10_000  #: of a code
ALL: Final = ""  #: all provinces, or all scenes, together


class Cell(NamedTuple):
    """Whose numbers, where, for what: tenant id (0: nobody's), province (two digits), scene; or ``ALL``."""

    tenant: int
    province: str
    scene: str


@dataclass(frozen=True, slots=True)
class Figure:
    """How many numbers there are. Each is one of the four; in a scene, ``free`` are those of all scenes.

    ``bound``: somebody's; ``quarantined``: nobody's, but some pair has not rested long enough; ``locked``:
    neither, but not to be bound; ``free``: the rest.
    """

    total: int
    free: int
    bound: int
    quarantined: int
    locked: int

    @property
    def free_share(self) -> float:
        """0 to 1; a pool without numbers has no free ones."""
        return self.free / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class CodeCount:
    """One code's numbers as counted; ``locked``: locked ones that nothing is bound on or resting.

    ``scenes``: of each scene, how many are bound and how many resting.
    """

    bound: int
    quarantined: int
    locked: int
    scenes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Codes of one tenant that are open in the same provinces: ``codes`` of them, some of which were counted.

    ``usable``: their numbers may be bound at all (not set aside, not draining, opened).
    """

    tenant: int
    provinces: tuple[str, ...]
    usable: bool
    codes: int
    counted: Sequence[CodeCount]


def figures(strata: Iterable[Stratum]) -> dict[Cell, Figure]:
    """The figures of every cell; what was not counted is taken to be like what was.

    A code that is open in several provinces counts in each of them, and once in all together.
    """
    sums: dict[Cell, list[float]] = defaultdict(lambda: [0.0] * 5)
    scenes: dict[Cell, list[float]] = defaultdict(lambda: [0.0] * 2)
    for one in strata:
        scale = one.codes / len(one.counted) if one.counted else 0.0
        total = float(one.codes * NUMBERS)
        bound, quarantined, locked = (
            scale * sum(getattr(code, name) for code in one.counted)
            for name in ("bound", "quarantined", "locked")
        )
        if not one.usable or not one.counted:
            locked = total - bound - quarantined
        free = total - bound - quarantined - locked
        for province in (ALL, *one.provinces):
            cell = Cell(one.tenant, province, ALL)
            for place, value in enumerate((total, free, bound, quarantined, locked)):
                sums[cell][place] += value
            for code in one.counted:
                for scene, (held, resting) in code.scenes.items():
                    of_scene = scenes[Cell(one.tenant, province, scene)]
                    of_scene[0] += scale * held
                    of_scene[1] += scale * resting
    found = {cell: _rounded(*values) for cell, values in sums.items()}
    for cell, (live, rest) in scenes.items():
        whole = found[cell._replace(scene=ALL)]
        found[cell] = Figure(whole.total, whole.free, round(live), round(rest), whole.locked)
    return found


def exhausted_at(points: Sequence[tuple[float, int]], free: int, now: float) -> float | None:
    """When ``free`` numbers are used up (Unix seconds), going by the trend of ``points``; None: not in sight.

    ``points``: (Unix seconds, numbers that are bound or in quarantine), at least three. The trend is the
    straight line that fits them best; it is drawn from use, so that codes which are added do not bend it.
    """
    if free <= 0:
        return now
    if len(points) < 3:
        return None
    count = len(points)
    mean_at = sum(at for at, _ in points) / count
    mean_used = sum(used for _, used in points) / count
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    if spread == 0:
        return None
    slope = sum((at - mean_at) * (used - mean_used) for at, used in points) / spread
    return now + free / slope if slope > 0 else None


class Alert(StrEnum):
    """What is the matter with a pool."""

    EXHAUSTED = "exhausted"  #: no number is free
    LOW = "low"  #: few are
    SOON = "soon"  #: they will be used up within the horizon


def alert(figure: Figure, ends: float | None, now: float, *, low: float, horizon_s: float) -> Alert | None:
    """The worst that holds. ``ends``: see ``exhausted_at``; ``low``: a share of the numbers, 0 to 1."""
    if figure.free <= 0:
        return Alert.EXHAUSTED
    if figure.free_share < low:
        return Alert.LOW
    return Alert.SOON if ends is not None and ends < now + horizon_s else None


def _rounded(total: float, free: float, bound: float, quarantined: float, locked: float) -> Figure:
    """Whole numbers that add up; no number that is left is rounded away."""
    parts = [round(bound), round(quarantined), round(locked)]
    rest = round(total) - sum(parts)
    if rest < 0:
        parts[parts.index(max(parts))] += rest
        rest = 0
    return Figure(round(total), rest, *parts)
