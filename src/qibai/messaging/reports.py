"""The way back: what became of a message, to the peer that brought it."""

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final, cast

import structlog

from qibai.core.errors import KeyUnknown, SealBroken
from qibai.core.numbering import Code
from qibai.messaging.backoff import KEY_WAIT_S, wait_s
from qibai.messaging.facts import Fact, FactKind
from qibai.messaging.fence import Fence
from qibai.messaging.held import Held
from qibai.messaging.link import NotNow, Receipt, Report, SubmitError
from qibai.messaging.outlets import Outlets
from qibai.messaging.table import Table
from qibai.store.keys import Keyring
from qibai.store.messages import open_party

MAX_TASKS: Final = 500
MAX_QUEUED: Final = 20_000

_log = structlog.get_logger("gateway")


class Reporter:
    """Tells senders' peers, each until it has acknowledged, for a while."""

    def __init__(
        self, table: Table, outlets: Outlets, keyring: Keyring, fence: Fence, patience_s: float
    ) -> None:
        """``patience_s``: after the end of a message; later its sender gets no report."""
        self._table, self._outlets, self._keyring = table, outlets, keyring
        self._fence, self._patience_s = fence, patience_s
        self._queue: deque[Held] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.sent = 0
        self.given_up = 0

    @property
    def queued(self) -> int:
        return len(self._queue) + len(self._tasks)

    def put(self, held: Held) -> None:
        """Report the end of a message as soon as possible."""
        if self._stopping or held.reporting or self.queued >= MAX_QUEUED:
            return  # PostgreSQL has it
        held.reporting = True
        if len(self._tasks) < MAX_TASKS:
            self._tasks.add(asyncio.create_task(self._work(held)))
        else:
            self._queue.append(held)

    async def stop(self) -> None:
        """Start nothing more; wait for what is under way."""
        self._stopping = True
        self._queue.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _work(self, held: Held) -> None:
        """Report ends until none waits. The task leaves the set in the step that finds none."""
        try:
            while True:
                await self._report(held)
                held.reporting = False
                if self._stopping or not self._queue:
                    return
                held = self._queue.popleft()
        finally:
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _report(self, held: Held) -> None:
        row = held.row
        outlet = self._outlets.named(row.in_link or "")
        now = time.time()
        ended = row.final_at or now
        try:
            if not self._fence.holds:
                raise NotNow
            if outlet is None or row.sender is None or now > ended + self._patience_s:
                raise SubmitError("nobody to tell")
            sender = open_party(self._keyring, row.code, row.binding_id, row.id, row.sender)
            receipt = Receipt(
                row.in_ref or "", row.state, datetime.fromtimestamp(ended, UTC), row.error or ""
            )
            called = Code(row.code).number(row.called or 0)
            submitted = datetime.fromtimestamp(row.created_at, UTC)
            await outlet.link.report(Report(receipt, str(called), sender.e164, submitted))
        except NotNow as exc:
            held.retries += 1
            row.due_at = time.time() + wait_s(held.retries, exc.retry_after_s)
            self._table.changed(held)
            return
        except KeyUnknown:
            row.due_at = time.time() + KEY_WAIT_S
            self._table.changed(held)
            return
        except SubmitError:
            self.given_up += 1
            _log.error("a sender's peer does not take a receipt", message=row.id)
        except SealBroken:
            self.given_up += 1
            _log.error("a report cannot be sent to its sender; does the key file belong to this database?")
        except Exception as exc:  # whatever it was: the others go on
            self.given_up += 1
            _log.error("a receipt could not be sent", message=row.id, error=type(exc).__name__)
        else:
            self.sent += 1
        self._table.happened(held, Fact(FactKind.REPORTED, row.code, row.id, time.time()))
