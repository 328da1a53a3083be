"""What time asks for: retries, ends of validity, receipts and parts that never came. Read from PostgreSQL."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from qibai.core.errors import KeyUnknown, QibaiError
from qibai.core.messages import MessageReason, MessageState
from qibai.messaging.dispatch import Dispatcher
from qibai.messaging.ends import pair_of_row
from qibai.messaging.facts import MessageKey
from qibai.messaging.held import Held, receipt_fact
from qibai.messaging.joins import Joins
from qibai.messaging.reports import Reporter
from qibai.messaging.rows import LEASE_S
from qibai.messaging.table import Table
from qibai.store import messages
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.keys import Keyring
from qibai.store.messages import KeptReceipt, MessageRow

POLL_S: Final = 1.0
MOST: Final = 500
COUNT_S: Final = 10.0  #: between counts of waiting parts
KEPT_LATELY_S: Final = 120.0  #: younger receipts are looked at every time
SWEEP_S: Final = 30.0  #: all of them so often
KEPT_S: Final = 86_400.0  #: so long they wait for their message

_log = structlog.get_logger("gateway")


class Clock:
    """Looks once a second, and whenever it is woken, for messages whose time has come."""

    def __init__(
        self,
        node: str,
        database: Connections,
        *,
        table: Table,
        keyring: Keyring,
        joins: Joins,
        dispatcher: Dispatcher,
        reporter: Reporter,
    ) -> None:
        self._node, self._database = node, database
        self._table, self._joins, self._keyring = table, joins, keyring
        self._dispatcher, self._reporter = dispatcher, reporter
        self._wake = asyncio.Event()
        self._count_at = self._sweep_at = 0.0
        self.unmatched = 0  #: receipts that were acknowledged and fitted no message
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
            except Exception as exc:  # one message that cannot be read must not stop all others
                _log.error("the clock failed", error=type(exc).__name__)
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

        async def read(conn: Connection) -> tuple[int, list[MessageRow], list[Held]]:
            rows = await messages.adopt(conn, self._node, until, room)
            rows += await messages.due(conn, self._node, until, room)
            unique = {row.key: row for row in rows}
            waiting = [row for row in unique.values() if row.waits]
            others = [row for row in unique.values() if not row.waits]
            return len(rows), waiting, await self._table.fetch(others, conn)

        count, waiting, held = await self._database.run(read)
        self._act(held, now)
        await self._table.flush()  # so that the same do not come again
        for row in waiting:
            await self._joins.late(row, ends=row.due_at is not None and row.due_at <= now)
        await self._joins.look_again()
        await self._receipts()
        if time.monotonic() >= self._count_at:
            await self._joins.count()
            self._count_at = time.monotonic() + COUNT_S
        self._ahead = self._ahead and count >= room
        return count >= room

    async def _receipts(self) -> None:
        """Take receipts that others have kept for us; forget those that nobody wanted."""
        since, most = KEPT_LATELY_S, MOST
        if time.monotonic() >= self._sweep_at:
            since, most = KEPT_S, 10 * MOST
            self._sweep_at = time.monotonic() + SWEEP_S
            gone = await self._database.run(lambda conn: messages.old_receipts(conn, KEPT_S))
            if gone:
                self.unmatched += gone
                _log.warning("receipts that fit no message of ours are forgotten", count=gone)

        async def read(conn: Connection) -> tuple[list[KeptReceipt], dict[MessageKey, Held]]:
            kept = await messages.kept_receipts(conn, self._node, since, most)
            rows = await messages.load_rows(conn, {(one.code, one.id) for one in kept})
            return kept, {held.key: held for held in await self._table.fetch(rows, conn)}

        kept, found = await self._database.run(read)
        done = set()
        for one in kept:
            held = found.get((one.code, one.id))
            if held is None or one.receipt_id in done:
                continue
            try:
                numbers_decide = one.place > 1 or one.shared
                if numbers_decide and one.pair not in (None, pair_of_row(self._keyring, held.row)):
                    continue
            except KeyUnknown:  # it is kept until the key is here
                continue
            fact = receipt_fact(held, one.part, one.state, one.error, one.stated_at)
            self._table.happened(self._table.again(held), fact)
            done.add(one.receipt_id)
        if done:
            await self._table.flush()
            await self._database.run(lambda conn: messages.forget_receipts(conn, sorted(done)))

    def _act(self, found: Sequence[Held], now: float) -> None:
        for held in found:
            row = held.row
            if row.due_at is None:  # all is done, and PostgreSQL has yet to hear of it
                continue
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
        if before.is_final:
            return
        held.finish(state, now, reason)
        self._table.changed(held, before)
