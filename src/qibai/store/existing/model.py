"""What taking over old bindings works with."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from qibai.core.binding import Scene
from qibai.core.pilot import Rules

BATCH = 1_000  #: bindings of one transaction
TURN_LOCK = 7_005  #: one migration, cut-over or roll-back at a time


@dataclass(frozen=True, slots=True)
class Terms:
    """How a file is taken over: what stands where its lines say nothing, and how long things last."""

    rules: Rules
    quarantine: timedelta
    longest: timedelta  #: the longest lifetime of a binding
    max_call_s: int  #: where the line says nothing
    most_call_s: int
    scene: Scene = Scene.OTHER
    province: str | None = None
    ttl: timedelta | None = None  #: the lifetime of what names no end
    shorten: bool = False  #: what would live longer than the longest ends then
    old_only: bool = False  #: serve the old numbers, bind no 700 numbers yet


@dataclass(slots=True)
class Counts:
    """What became of bindings."""

    moved: int = 0  #: got a 700 number
    kept: int = 0  #: serve under their old number alone
    earlier: int = 0  #: were there before
    rejected: int = 0

    def add(self, other: "Counts") -> None:
        self.moved += other.moved
        self.kept += other.kept
        self.earlier += other.earlier
        self.rejected += other.rejected

    @property
    def all(self) -> int:
        return self.moved + self.kept + self.earlier + self.rejected


@dataclass(frozen=True, slots=True)
class Migration:
    """A file that is being taken over, or was."""

    id: int
    tenant_id: int
    file: str
    batch: int
    began_at: datetime
    checked_at: datetime | None
    total: int | None
    finished_at: datetime | None
