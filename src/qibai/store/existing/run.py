"""Taking over a file of old bindings: checked whole, then batch by batch, resumed wherever it was stopped.

Each worker has a batch under way. A batch that is noted as done is never tried again; one that was cut off
left nothing behind.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Protocol

import psycopg
from psycopg.rows import class_row

from qibai.core.errors import Conflict
from qibai.core.oldfile import BadOldLine, RawRow, Reading
from qibai.store.connection import Connection
from qibai.store.existing.check import Checked, Checker
from qibai.store.existing.model import BATCH, TURN_LOCK, Counts, Migration, Terms
from qibai.store.existing.take import Wanting, note_rejects
from qibai.store.existing.workers import Job, Worker, local, workers
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("migration")
_NOTED: Final = 10_000  #: rejects written at once

#: Progress: what is done (``checked``, ``gone through`` …), how many bindings, and of how many.
Step = Callable[[str, int, int | None], None]


class Source(Protocol):
    """A file of old bindings, which can be read more than once."""

    name: str
    digest: bytes  #: of the file, and of how it is read
    reading: Reading  #: its shape is known

    def rows(self) -> Iterator[RawRow]: ...


@dataclass(slots=True)
class Outcome:
    """What a run has done. ``before``: bindings of batches that earlier runs did."""

    migration: Migration
    counts: Counts = field(default_factory=Counts)
    before: int = 0
    wanting: Wanting | None = None  #: stopped: more numbers or rights are needed first


@asynccontextmanager
async def turn(dsn: str) -> AsyncIterator[Connection]:
    """A connection that holds the one turn there is. Raise Conflict while somebody else has it."""
    with own_errors():
        conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True, application_name="qibai-migration")
    async with conn:
        with own_errors():
            row = await (await conn.execute(_SQL["lock"], {"key": TURN_LOCK})).fetchone()
        if row is None or not row[0]:
            raise Conflict("another migration, cut-over or roll-back is under way; wait for its end")
        yield conn


async def check(
    conn: Connection, keyring: Keyring, source: Source, terms: Terms, step: Step
) -> AsyncIterator[tuple[Checked, list[BadOldLine]]]:
    """Check a file; gives what was found so far, and rejects as they are found. Writes nothing.

    Raise BadRequest when it cannot be read at all, StoreUnavailable.
    """
    checker = Checker(conn, keyring, terms, datetime.now(UTC))
    await checker.begin()
    try:
        for _, rows in _batches(source, BATCH):
            yield checker.found, await checker.add(list(source.reading.lines(rows)))
            step("checked", checker.found.bindings, None)
        yield checker.found, await checker.conflicts()
    finally:
        await checker.end()


class Execution:
    """One run of ``qibai migrate-bindings execute``."""

    def __init__(self, dsn: str, keyring: Keyring, tenant_id: int, source: Source, terms: Terms) -> None:
        self._dsn, self._keyring, self._tenant_id = dsn, keyring, tenant_id
        self._source, self._terms = source, terms

    async def run(self, step: Step, *, rate: float | None = None) -> Outcome:
        """Take the file over, at most ``rate`` bindings a second.

        Raise Conflict, BadRequest, StoreUnavailable.
        """
        async with turn(self._dsn) as conn:
            outcome = Outcome(await self._begin(conn))
            if outcome.migration.checked_at is None:
                outcome.migration = await self._check(conn, outcome.migration, step)
            done = await self._done(conn, outcome)
            step("gone through", outcome.before, outcome.migration.total)
            batches = _Batches(_batches(self._source, outcome.migration.batch), done)
            job = Job(
                self._dsn,
                self._keyring.path,
                outcome.migration,
                self._terms,
                self._source.reading,
                first=await self._is_first(conn),
            )
            few = (outcome.migration.total or 0) <= outcome.migration.batch
            async with local(job) if few else workers(job) as hands:
                lanes = [
                    asyncio.create_task(self._lane(hand, batches, outcome, step, rate)) for hand in hands
                ]
                try:
                    await asyncio.gather(*lanes)
                finally:
                    for lane in lanes:
                        lane.cancel()
            with own_errors():
                if outcome.wanting is None:
                    await conn.execute(_SQL["finished"], {"id": outcome.migration.id})
        return outcome

    async def _begin(self, conn: Connection) -> Migration:
        params = {"tenant": self._tenant_id, "digest": self._source.digest, "file": self._source.name}
        with own_errors():
            await conn.execute(_SQL["begin_business"], {"tenant": self._tenant_id})
            async with conn.cursor(row_factory=class_row(Migration)) as cur:
                await cur.execute(_SQL["begin"], params | {"batch": BATCH})
                found = await cur.fetchone()
        assert found is not None  # noqa: S101  # RETURNING of one row
        return found

    async def _check(self, conn: Connection, migration: Migration, step: Step) -> Migration:
        checks = [(Checked(), list[BadOldLine]())]
        async for found in check(conn, self._keyring, self._source, self._terms, step):
            checks = [found]
        total, rejects = checks[0][0].bindings, checks[0][1]
        with own_errors():  # the last rejects are those of the file as a whole; batches find the others again
            for start in range(0, len(rejects), _NOTED):
                await note_rejects(conn, migration.id, rejects[start : start + _NOTED], checked=True)
            await conn.execute(_SQL["checked"], {"id": migration.id, "total": total})
        return replace(migration, total=total)

    async def _done(self, conn: Connection, outcome: Outcome) -> set[int]:
        """The batches to leave alone; a run for the old numbers alone leaves all that are there."""
        with own_errors():
            cur = await conn.execute(_SQL["batches"], {"id": outcome.migration.id})
            found = {row[0]: row[2] for row in await cur.fetchall() if row[1] or self._terms.old_only}
        outcome.before = sum(found.values())
        return set(found)

    async def _is_first(self, conn: Connection) -> bool:
        with own_errors():
            return await (await conn.execute(_SQL["any_old"])).fetchone() is None

    async def _lane(
        self, worker: Worker, batches: "_Batches", outcome: Outcome, step: Step, rate: float | None
    ) -> None:
        for number, rows in batches:
            taken = await worker.take(number, rows)
            outcome.counts.add(taken.counts)
            step("gone through", outcome.before + outcome.counts.all, outcome.migration.total)
            if taken.wanting is not None:
                outcome.wanting = outcome.wanting or taken.wanting
            if outcome.wanting is not None:
                return
            await asyncio.sleep(batches.ahead(outcome.counts.all, rate))


class _Batches:
    """The batches that are to be done, shared by the lanes; and the clock of the throttle."""

    def __init__(self, batches: Iterator[tuple[int, list[RawRow]]], done: set[int]) -> None:
        self._batches, self._done = batches, done
        self._began = time.monotonic()

    def __iter__(self) -> Iterator[tuple[int, list[RawRow]]]:
        return (batch for batch in self._batches if batch[0] not in self._done)

    def ahead(self, count: int, rate: float | None) -> float:
        """How many seconds ``count`` bindings are too early for the rate."""
        return 0.0 if rate is None else max(0.0, count / rate - (time.monotonic() - self._began))


def _batches(source: Source, size: int) -> Iterator[tuple[int, list[RawRow]]]:
    rows = source.rows()
    number = 0
    while batch := list(islice(rows, size)):
        yield number, batch
        number += 1
