"""Spool → PostgreSQL, and spool → keeper.

Two readings of the same files. While PostgreSQL answers they go hand in hand. When it does not, the writer's
stays at the one batch it holds, so memory stays bounded, and the keeper's goes on alone; later the writer
catches up with it by itself.
"""

import asyncio
import math
import struct
import time
from functools import partial
from typing import Final

import structlog

from qibai.config import Config
from qibai.core.calls import CallKey, CallRow, fold
from qibai.core.errors import QibaiError
from qibai.core.events import CallEvent
from qibai.records.keeper import Keeper
from qibai.records.steady import SteadyClock
from qibai.store import calls, dsn
from qibai.store.connections import Connections
from qibai.store.failures import DriverError
from qibai.store.loss_counts import LossCounts
from qibai.store.spool_reader import OffsetFile, Positions, SpoolReader

TOGETHER_S: Final = 0.5  #: how long the keeper's reading waits for the writer's
FRESH_S: Final = 2.0  #: what was heard longer ago, by a process that was halted, is old
MERGE_S: Final = 20.0  #: a batch takes no longer, or the server hangs
RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
TIDY_S: Final = 10.0
LAST_WRITE_S: Final = 5.0
_AT_FAULT: Final = (DriverError, OverflowError, struct.error)  # a value that its column cannot hold

_log = structlog.get_logger("recorder")


class Pump:
    """Reads the spool for PostgreSQL and for ``keeper``."""

    def __init__(self, config: Config, keeper: Keeper, losses: LossCounts) -> None:
        self._losses = losses
        self.clock = SteadyClock()  #: of all times that the keeper gets
        self._config = config
        self._keeper = keeper
        self._offsets = OffsetFile(config.spool_dir / "recorder.offsets")
        self._stored: Positions = self._offsets.load()
        self._writer = SpoolReader(config.spool_dir, self._stored)
        self._ahead = SpoolReader(config.spool_dir, self._stored)
        self._writing: asyncio.Task[None] | None = None
        self._database = Connections(
            dsn(config),
            application="qibai recorder",
            connect_timeout_s=max(2, config.store.connect_timeout_s),
        )
        self._synced: Positions = {}
        self._saved = dict(self._stored)
        self._all_heard = False
        self.heard_at = -math.inf  #: when it last had, by ``clock``
        self.store_up = False
        self.events = 0
        self.rows = 0
        self.refused = 0  #: rows that PostgreSQL would not take

    @property
    def caught_up(self) -> bool:
        """Whether the keeper has heard all there was a moment ago, and not before a halt of this process."""
        fresh_s = FRESH_S + self._config.recorder.batch_ms / 1000
        return self._all_heard and self.clock.now() - self.heard_at < fresh_s

    @property
    def damaged(self) -> int:
        """Lines that could not be read."""
        return max(self._writer.damaged, self._ahead.damaged)

    def backlog(self) -> int:
        """Bytes of the spool that are not in PostgreSQL yet."""
        return self._writer.backlog()

    async def run(self, stop: asyncio.Event) -> None:
        """Pump until ``stop``; then store what is there, unless PostgreSQL is down."""
        pause = self._config.recorder.batch_ms / 1000
        house = asyncio.create_task(self._keep_house())
        try:
            while not stop.is_set():
                if await self.step():
                    try:
                        await asyncio.wait_for(stop.wait(), pause)
                    except TimeoutError:
                        continue
        finally:
            house.cancel()
        try:
            async with asyncio.timeout(LAST_WRITE_S):
                while self._writing is not None or not await self.step():
                    if self._writing is not None:
                        await self._writing
                        self._note_stored()
                if self._writing is not None:
                    await self._writing
                    self._note_stored()
        except TimeoutError:
            _log.warning("stopped with unstored events; they stay in the spool", bytes=self.backlog())
        await self._database.close()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing}, timeout=LAST_WRITE_S)
        self._save()

    async def step(self) -> bool:
        """Read and write once; whether nothing more was there to do at once."""
        self._note_stored()
        if self._writing is None:
            idle = self._begin_write()
            if self._writing is None:
                return idle
            await asyncio.wait({self._writing}, timeout=TOGETHER_S)
            self._note_stored()
            return idle and self._writing is None
        began = self.clock.now()
        events, all_heard = self._ahead.read()
        self._heard(events, began, all_heard)
        return all_heard

    def _begin_write(self) -> bool:
        """Read a batch and start to store it; whether it was the last for now."""
        if self._writer.behind(self._ahead.positions):
            events, _ = self._writer.read(upto=self._ahead.positions)
            idle = False
        else:
            began = self.clock.now()
            events, idle = self._writer.read()
            self._ahead.positions.update(self._writer.positions)
            self._heard(events, began, idle)
        if events:
            self._writing = asyncio.create_task(self._write(events))
        else:
            self._stored = dict(self._writer.positions)
        return idle

    def _heard(self, events: list[CallEvent], began: float, all_heard: bool) -> None:
        self._keeper.hear(events, self.clock.now(), wall=time.time(), heard_at=self.heard_at)
        self._all_heard = all_heard
        if all_heard:
            self.heard_at = began

    def _note_stored(self) -> None:
        if self._writing is not None and self._writing.done():
            self._writing.result()
            self._writing = None
            self._stored = dict(self._writer.positions)

    async def _write(self, events: list[CallEvent]) -> None:
        """Store a batch, however long it takes."""
        rows = fold(events)
        attempt = 0
        while True:
            try:
                await self._merge(rows)
                break
            except QibaiError as exc:
                if self.store_up or attempt == 0:
                    _log.warning("events wait for the database", error=exc.code)
                self.store_up = False
                await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
        self.store_up = True
        self.events += len(events)
        self.rows += len(rows)

    async def _merge(self, rows: dict[CallKey, CallRow]) -> None:
        try:
            await self._database.run(lambda conn: calls.merge_calls(conn, rows), MERGE_S)
        except _AT_FAULT:  # not for want of an answer: one of the rows is to blame
            for key, row in rows.items():
                try:
                    await self._database.run(partial(calls.merge_calls, rows={key: row}), MERGE_S)
                except _AT_FAULT as exc:
                    self.refused += 1
                    self._losses.add("call_rows_refused")
                    _log.error("the database refuses a call", call=key, error=type(exc).__name__)

    async def _keep_house(self) -> None:
        """Once a second make durable what was written and how far it was read; at times remove old files."""
        tidy_at = 0.0
        while True:
            try:
                await asyncio.to_thread(self._writer.sync, self._synced)
                self._save()
                now = time.monotonic()
                if now >= tidy_at and self._writing is None:
                    tidy_at = now + min(TIDY_S, max(1.0, self._config.recorder.keep_spool_s))
                    removed = self._writer.remove_done(self._config.recorder.keep_spool_s, self._stored)
                    for name in removed:
                        self._ahead.positions.pop(name, None)
                        self._stored.pop(name, None)
                self._keeper.forget_old(self.clock.now(), self.heard_at)
            except OSError as exc:
                _log.error("the spool's folder cannot be used", error=exc.strerror)
            await asyncio.sleep(1.0)

    def _save(self) -> None:
        if self._saved != self._stored:
            try:
                self._offsets.save(self._stored)
                self._saved = dict(self._stored)
            except OSError as exc:  # then events are read twice after a restart, which does no harm
                _log.error("offsets cannot be saved", error=exc.strerror)
