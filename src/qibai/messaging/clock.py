"""What time asks for: retries, ends of validity, receipts and parts that never came. Read from PostgreSQL."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from qibai.core.errors import QibaiError
from qibai.core.messages import MessageReason, MessageState
from qibai.messaging.database import Connection, Database
from qibai.messaging.dispatch import Dispatcher
from qibai.messaging.held import Held
from qibai.messaging.joiner import Joiner
from qibai.messaging.reports import Reporter
from qibai.messaging.rows import LEASE_S
from qibai.messaging.table import Table
from qibai.store import messages

POLL_S: Final = 1.0
MOST: Final = 500

_log = structlog.get_logger("gateway")


class Clock:
    """Looks once a second, and whenever it is woken, for messages whose time has come."""

    def __init__(
        self,
        node: str,
        database: Database,
        *,
        table: Table,
        joiner: Joiner,
        dispatcher: Dispatcher,
        reporter: Reporter,
    ) -> None:
        self._node, self._database = node, database
        self._table, self._joiner = table, joiner
        self._dispatcher, self._reporter = dispatcher, reporter
        self._wake = asyncio.Event()
        self._ahead = True  # what an earlier gateway had in memory is nobody's now: do not wait for its lease

    def wake(self) -> None:
        """Look at once: the API has put a message into the queue."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``."""
        halt = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._wake.clear()
            try:
                more = await self._look()
            except QibaiError:  # the table's flusher tells of it
                more = False
            if not more:
                wake = asyncio.create_task(self._wake.wait())
                await asyncio.wait({wake, halt}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
        halt.cancel()

    async def _look(self) -> bool:
        """Whether there may be more to do at once."""
        if self._table.disowning:
            return False
        room = min(MOST, self._dispatcher.room)
        if not room:
            return False
        now = time.time()
        until = datetime.fromtimestamp(now + (LEASE_S if self._ahead else 0.0), UTC)

        async def read(conn: Connection) -> tuple[int, list[Held]]:
            rows = await messages.adopt(conn, self._node, until, room)
            rows += await messages.due(conn, self._node, until, room)
            unique = {row.key: row for row in rows}
            return len(rows), await self._table.fetch(list(unique.values()), conn)

        count, held = await self._database.run(read)
        self._act(held, now)
        await self._table.flush()  # so that the same do not come again
        self._ahead = self._ahead and count >= room
        return count >= room

    def _act(self, found: Sequence[Held], now: float) -> None:
        for held in found:
            row = held.row
            if held.busy or held.reporting:
                row.due_at = now + LEASE_S
                self._table.changed(held)
            elif row.state.is_final:
                if row.due_at is not None and row.due_at <= now + LEASE_S:
                    self._reporter.put(held)
                    self._lease(held, now)
            elif row.state is MessageState.SENT:
                if row.due_at is not None and row.due_at <= now:
                    self._end(held, MessageState.UNKNOWN, MessageReason.NO_RECEIPT, now)
            elif (row.long_total or 0) > 1 and row.joined is None:
                if row.due_at is not None and row.due_at <= now and self._joiner.drop(row):
                    self._end(held, MessageState.REJECTED, MessageReason.PARTS_MISSING, now)
            else:
                self._dispatcher.put(held)
                self._lease(held, now)

    def _lease(self, held: Held, now: float) -> None:
        """It is in memory now: it need not be read again for a while."""
        if held.busy or held.reporting:
            held.row.due_at = now + LEASE_S
            self._table.changed(held)

    def _end(self, held: Held, state: MessageState, reason: MessageReason, now: float) -> None:
        before = held.row.state
        held.finish(state, now, reason)
        self._table.changed(held, before)
