"""What rotations of keys have in common: one at a time, in batches, resumable, with progress."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import psycopg

from qibai.core.errors import Conflict, StoreUnavailable
from qibai.store.connection import SyncConnection
from qibai.store.failures import own_errors
from qibai.store.statements import load

ROTATION_LOCK: Final = 7_002
BATCH: Final = 500
_LOCK_TIMEOUT_MS: Final = 100  # we give way to calls and bindings, not they to us
_TRIES: Final = 600
_SQL: Final = load("rotation")

T = TypeVar("T")
Key = list[Any]  #: where a part has got to: a row's key, as JSON can hold it


@dataclass(frozen=True, slots=True)
class RotationStep:
    """Progress: ``rows`` of ``part`` were moved so far, after ``parts_done`` of ``parts`` whole parts."""

    job: str
    part: str
    parts_done: int
    parts: int
    rows: int


Batch = Callable[[str, Key | None], tuple[int, Key | None]]
Progress = Callable[[RotationStep], None]
#: Called once under the rotation's lock, before anything is done: whether a new rotation begins, or one that
#: was interrupted goes on. What it raises ends the rotation before it began.
Started = Callable[[bool], None]


def no_question(new: bool) -> None:
    """For callers who were asked before whether they may."""


def no_progress(step: RotationStep) -> None:
    """For callers who do not watch."""


class Rotation:
    """One running rotation: its connection, which holds the lock, and its book-keeping."""

    def __init__(self, conn: SyncConnection, progress: Progress) -> None:
        self.conn = conn
        self._progress = progress

    def run(self, job: str, parts: list[str], batch: Batch) -> int:
        """Run ``batch(part, after)`` through all parts; return how many rows it moved.

        A batch handles the rows behind the key ``after`` (None: from the start), in one transaction with the
        note of how far it got, and returns the number of rows moved and the last key (None: no more rows).
        """
        total = 0
        for number, part in enumerate(parts):
            after, rows, finished = self._resume(job, part)
            if finished:
                continue
            self._progress(RotationStep(job, part, number, len(parts), rows))
            while not finished:
                moved, last = self.retry(partial(self._batch, job, part, after, batch))
                rows, total, after, finished = rows + moved, total + moved, last, last is None
                self._progress(RotationStep(job, part, number + finished, len(parts), rows))
        return total

    def forget(self, job: str) -> None:
        """Drop the notes of a finished job."""
        self.conn.execute(_SQL["forget"], {"job": job})

    def retry(self, action: Callable[[], T]) -> T:
        """Run a transaction; when it meets somebody's lock, let them pass and try again."""
        for _ in range(_TRIES):
            try:
                return action()
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                time.sleep(0.02)
        raise StoreUnavailable("the database is too busy to rotate keys; run the command again later")

    def _resume(self, job: str, part: str) -> tuple[Key | None, int, bool]:
        row = self.conn.execute(_SQL["resume"], {"job": job, "part": part}).fetchone()
        if row is None:
            raise StoreUnavailable
        done_to, rows, finished = row
        return (json.loads(done_to) if done_to else None), rows, finished

    def _batch(
        self,
        job: str,
        part: str,
        after: Key | None,
        batch: Batch,
    ) -> tuple[int, Key | None]:
        with self.conn.transaction():
            moved, last = batch(part, after)
            done_to = json.dumps(last) if last else None
            note = {"done_to": done_to, "rows": moved, "finished": last is None, "job": job, "part": part}
            self.conn.execute(_SQL["note"], note)
        return moved, last


@contextmanager
def rotating(dsn: str, progress: Progress) -> Iterator[Rotation]:
    """Hold the rotation's lock. Raise Conflict when another rotation runs, StoreUnavailable."""
    with own_errors():
        options = (
            f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c enable_seqscan=off -c enable_bitmapscan=off -c jit=off"
        )
        with psycopg.connect(dsn, autocommit=True, options=options) as conn:
            row = conn.execute("SELECT pg_try_advisory_lock(%s)", [ROTATION_LOCK]).fetchone()
            if row is None or not row[0]:
                raise Conflict("a rotation of keys is running already; wait for its end")
            yield Rotation(conn, progress)


def partitions(table: str) -> list[str]:
    """The names of a hot table's partitions."""
    return [f"{table}_p{i:02d}" for i in range(16)]
