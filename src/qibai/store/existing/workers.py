"""Who takes batches over: this process, or several of its own, since most of the work is ciphers.

A process whose parent is gone finishes the batch at hand and ends.
"""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Final, Protocol

import psycopg

from qibai.core.errors import QibaiError, StoreUnavailable
from qibai.core.oldfile import RawRow, Reading
from qibai.store.bindings import Entitlement
from qibai.store.connection import Connection
from qibai.store.existing.model import Migration, Terms
from qibai.store.existing.take import Taken, Taker
from qibai.store.failures import own_errors
from qibai.store.keys import RememberingKeyring

WORKERS: Final = 2


@dataclass(frozen=True, slots=True)
class Job:
    """What has to be known of the file that is taken over."""

    dsn: str
    keys: Path
    migration: Migration
    terms: Terms
    reading: Reading
    first: bool = False  #: no old binding was there when the run began

    def taker(self) -> Taker:
        """One for these batches, with keys and rights of its own. Raise KeyFileError."""
        entitlement = Entitlement(self.migration.tenant_id, self.terms.rules)
        keyring = RememberingKeyring.load(self.keys)
        return Taker(keyring, self.migration, entitlement, self.terms, first=self.first)

    async def connect(self) -> Connection:
        """Raise StoreUnavailable."""
        with own_errors():
            return await psycopg.AsyncConnection.connect(
                self.dsn, autocommit=True, application_name="qibai-migration"
            )


class Worker(Protocol):
    """Takes over one batch after the other."""

    async def take(self, number: int, rows: Sequence[RawRow]) -> Taken:
        """Have a batch taken over. Raise StoreUnavailable: it is as if it had not begun."""


@asynccontextmanager
async def local(job: Job) -> AsyncIterator[list[Worker]]:
    """This process itself: for a few bindings, which others would take longer to start for."""
    taker = job.taker()
    async with await job.connect() as conn:

        class _Here:
            async def take(self, number: int, rows: Sequence[RawRow]) -> Taken:
                with own_errors():
                    return await taker.batch(conn, number, list(job.reading.lines(rows)))

        yield [_Here()]


@asynccontextmanager
async def workers(job: Job, count: int = WORKERS) -> AsyncIterator[list[Worker]]:
    """So many processes, which end at the end."""
    spawn = multiprocessing.get_context("spawn")
    ours, processes = [], []
    try:
        for _ in range(count):
            near, far = spawn.Pipe()
            process = spawn.Process(target=_main, args=(far, job), daemon=True)
            process.start()
            far.close()
            ours.append(near)
            processes.append(process)
        yield [_Process(pipe) for pipe in ours]
    finally:
        for pipe in ours:
            pipe.close()
        for process in processes:
            await asyncio.to_thread(process.join)


class _Process:
    """Another process, as this one sees it."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def take(self, number: int, rows: Sequence[RawRow]) -> Taken:
        try:
            self._pipe.send((number, rows))
            answer = await asyncio.to_thread(self._pipe.recv)
        except (EOFError, OSError) as exc:
            raise StoreUnavailable("a process of the migration ended; run the command again") from exc
        if isinstance(answer, Taken):
            return answer
        code, message = answer
        raise StoreUnavailable(f"{message} ({code}); run the command again")


def _main(pipe: Pipe, job: Job) -> None:
    asyncio.run(_serve(pipe, job))


async def _serve(pipe: Pipe, job: Job) -> None:
    taker = job.taker()
    conn: Connection | None = None
    while True:
        try:
            number, rows = pipe.recv()
        except (EOFError, OSError):  # all is done, or the parent is gone
            break
        try:
            with own_errors():
                conn = conn or await job.connect()
                answer: Taken | tuple[str, str] = await taker.batch(
                    conn, number, list(job.reading.lines(rows))
                )
        except QibaiError as exc:
            answer = exc.code, exc.message
        except psycopg.Error as exc:  # its text may hold values
            answer = type(exc).__name__, "the database refused a batch"
        if isinstance(answer, Taken):
            answer.rejects.clear()  # they are in the store
        try:
            pipe.send(answer)
        except OSError:
            break
    if conn is not None:
        await conn.close()
