"""The way out: each message to a link, part by part, until it is taken or its time is over."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

import structlog

from qibai.core.errors import KeyUnknown, SealBroken, StoreUnavailable
from qibai.core.messages import MessageReason, MessageState
from qibai.core.numbering import Code, Msisdn
from qibai.core.text import BadText
from qibai.messaging.backoff import KEY_WAIT_S, wait_s
from qibai.messaging.doubts import MAX_TRIES, Doubt, Doubts
from qibai.messaging.ends import pair_of
from qibai.messaging.facts import Fact, FactKind, MessageKey
from qibai.messaging.fence import Fence
from qibai.messaging.held import Held
from qibai.messaging.link import InDoubt, NotNow, Outgoing, Rejected, SubmitError
from qibai.messaging.outlets import Outlet, Outlets, parts_of, reference
from qibai.messaging.rows import LEASE_S
from qibai.messaging.table import Table
from qibai.store.keys import Keyring
from qibai.store.messages import open_body, open_party

MAX_TASKS: Final = 2_000  #: messages that links work on
MAX_QUEUED: Final = 20_000  #: that wait in memory; the others wait in PostgreSQL
IN_MEMORY_S: Final = 20.0  #: a shorter wait is spent in memory

_log = structlog.get_logger("gateway")


class Dispatcher:
    """Sends what it is given. What it cannot keep in memory it leaves to PostgreSQL."""

    def __init__(self, table: Table, outlets: Outlets, keyring: Keyring, fence: Fence) -> None:
        self.fence = fence
        self._table, self._outlets, self._keyring = table, outlets, keyring
        self._queue: deque[Held] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[MessageKey, asyncio.TimerHandle] = {}
        self._stopping = False
        self.doubts = Doubts()
        self.in_flight: dict[str, int] = {}  #: submits without an answer, by link
        self.attempts = 0
        self.retries = 0
        self.in_doubt = 0  #: parts that went out and were not answered in time
        self.unopened = 0  #: messages that ended since their seal is broken

    @property
    def queued(self) -> int:
        """Messages that wait in memory for their turn."""
        return len(self._queue) + len(self._timers)

    @property
    def room(self) -> int:
        """How many more it would take into memory."""
        return max(0, MAX_QUEUED - self.queued - len(self._tasks))

    def put(self, held: Held) -> None:
        """Send a message, as soon as it can be."""
        if self._stopping or held.busy or not self.room:
            return  # PostgreSQL has it
        self._table.add(held)
        held.busy = True
        if len(self._tasks) < MAX_TASKS:
            self._start(held)
        else:
            self._queue.append(held)

    async def stop(self) -> None:
        """Start nothing more; wait for the answers to what is out."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._queue.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, held: Held) -> None:
        self._tasks.add(asyncio.create_task(self._work(held)))

    async def _work(self, held: Held) -> None:
        """Send messages until none waits. The task leaves the set in the step that finds none."""
        try:
            await self._send_all(held)
        finally:
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send_all(self, held: Held) -> None:
        while True:
            try:
                await self._send(held)
            except KeyUnknown:
                self._await_key(held)
            except SealBroken:
                self._end(held, MessageState.REJECTED, MessageReason.MALFORMED)
                self.unopened += 1
                _log.error("a message cannot be opened; is it this database's key file?")
            except Exception as exc:  # whatever it was: the others go on
                _log.error("a message could not be sent", message=held.row.id, error=type(exc).__name__)
                self._fail(held)
            if self._stopping or not self._queue:
                return
            held = self._queue.popleft()

    def _await_key(self, held: Held) -> None:
        """Keep a message that this node cannot open yet, for as long as it is valid."""
        if time.time() >= held.row.valid_until:
            self._expire(held)
        else:
            self._later(held, KEY_WAIT_S)

    async def _send(self, held: Held) -> None:
        row = held.row
        if row.state is not MessageState.QUEUED or row.receiver is None:
            held.busy = False
            return
        receiver = open_party(self._keyring, row.code, row.binding_id, row.id, row.receiver)
        if held.body is None:
            held.body = open_body(self._keyring, row.code, row.id, row.body or b"")
        row.attempts += 1
        self.attempts += 1
        self.retries += row.attempts > 1
        tried: frozenset[str] = frozenset()
        asked: float | None = None
        while True:
            if time.time() >= row.valid_until:
                self._expire(held)
                return
            outlet = self._outlets.choose(receiver.national, but=tried)
            if outlet is None:
                self._later(held, asked)
                return
            try:
                if await self._through(held, outlet, receiver):
                    held.busy = False
                    return
                self._later(held, None)
                return
            except NotNow as exc:
                asked = exc.retry_after_s
                tried |= {outlet.link.name}
                if not exc.link_down:
                    self._later(held, asked)
                    return
            except StoreUnavailable:  # the journal cannot take it: what goes out now would go out again
                self._later(held, None)
                return
            except InDoubt as exc:
                self.in_doubt += 1
                _log.warning("a part was not answered", link=outlet.link.name, tries=row.out_tries)
                self._later(held, exc.again_s)
                return
            except Rejected as exc:
                self._table.happened(
                    held, Fact(FactKind.REFUSED, row.code, row.id, time.time(), error=exc.error)
                )
                held.busy = False
                return

    async def _through(self, held: Held, outlet: Outlet, receiver: Msisdn) -> bool:
        """Send what is missing of the message; False: it is not whole yet. Raise SubmitError."""
        row, link = held.row, outlet.link
        long = row.out_long or outlet.long  # once begun, it is split as it was
        try:
            parts = parts_of(held.body or "", long, reference(row))
        except BadText:
            self._end(held, MessageState.REJECTED, MessageReason.MALFORMED)
            return True
        shown = Code(row.code).number((row.shown if row.shown is not None else row.called) or 0)
        for place, part in enumerate(parts, 1):
            if place in held.sent:
                continue
            tries = held.tries(place)
            if tries >= MAX_TRIES:
                self._end(held, MessageState.UNKNOWN, MessageReason.NO_RECEIPT)
                self.doubts.counts["unknown"] += 1
                return True
            flight = _Flight(self, held, Doubt(held, place, link.name, long, len(parts)), tries)
            name = link.name
            self.in_flight[name] = self.in_flight.get(name, 0) + 1
            try:
                ref = await link.submit(
                    Outgoing(
                        row.code,
                        row.id,
                        str(shown),
                        receiver.e164,
                        part,
                        _utc(row.valid_until),
                        leaving=flight.leaving,
                        late=flight.late,
                    )
                )
            except InDoubt:
                if not flight.left:
                    flight.left_already()
                self.doubts.add(pair_of(self._keyring, str(shown), receiver.e164), flight.doubt)
                raise
            except NotNow:
                flight.back()
                raise
            except Rejected as exc:
                if tries:  # of the two that went out, the other may have been taken
                    self._end(held, MessageState.UNKNOWN, MessageReason.NO_RECEIPT, exc.error)
                    return True
                raise
            finally:
                self.in_flight[name] -= 1
            self._table.happened(held, flight.taken(ref))
            if row.state.is_final:  # a receipt of an earlier part has ended it
                return True
        return row.state is not MessageState.QUEUED

    def _expire(self, held: Held) -> None:
        if held.row.out_tries or held.sent:  # somebody may have it, or some of it
            self._end(held, MessageState.UNKNOWN, MessageReason.VALIDITY_OVER)
        else:
            self._end(held, MessageState.EXPIRED, MessageReason.VALIDITY_OVER)

    def _end(self, held: Held, state: MessageState, reason: MessageReason, error: str = "") -> None:
        before = held.row.state
        held.busy = False
        if before.is_final:  # a receipt, or a late answer, was faster
            return
        held.finish(state, time.time(), reason, error)
        self._table.changed(held, before)

    def _fail(self, held: Held) -> None:
        """Nobody knows how to send it, and the next try would fail as well."""
        if held.row.out_tries or held.sent:  # somebody may have it, or some of it
            self._end(held, MessageState.UNKNOWN, MessageReason.NO_RECEIPT)
        else:
            self._end(held, MessageState.REJECTED, MessageReason.MALFORMED)

    def _later(self, held: Held, asked_s: float | None) -> None:
        """Try again after a while: from memory after a short one, else from PostgreSQL."""
        row = held.row
        if row.state is not MessageState.QUEUED:  # a receipt, or a late answer, was faster
            held.busy = False
            return
        wait = min(wait_s(row.attempts, asked_s), max(0.0, row.valid_until - time.time()))
        keep = wait <= IN_MEMORY_S and not self._stopping and self.room > 0
        row.due_at = time.time() + wait + (LEASE_S if keep else 0.0)
        self._table.changed(held)
        if not keep:
            held.busy = False
            held.body = None
            return
        self._timers[held.key] = asyncio.get_running_loop().call_later(wait, self.hasten, held)

    def hasten(self, held: Held) -> None:
        """Go on with a message that waits, if it does: its time has come, or a late answer."""
        timer = self._timers.pop(held.key, None)
        if timer is not None:
            timer.cancel()
            held.busy = False
        if held.row.state is MessageState.QUEUED and not self._stopping:
            self.put(held)

    def settle(self, link: str, pair: bytes | None, ref: str) -> tuple[Held, int] | None:
        """A receipt names nobody's part but the numbers of one in doubt: that was taken."""
        doubt = self.doubts.only(link, pair)
        if doubt is None:
            return None
        self.doubts.counts["settled"] += 1
        self._table.happened(doubt.held, taken(doubt, ref))
        return doubt.held, doubt.part


def taken(doubt: Doubt, ref: str) -> Fact:
    """A peer has the part, and calls it ``ref``."""
    row = doubt.held.row
    return Fact(
        FactKind.TAKEN,
        row.code,
        row.id,
        time.time(),
        part=doubt.part,
        link=doubt.link,
        ref=ref,
        long=doubt.long,
        total=doubt.total,
    )


@dataclass(slots=True)
class _Flight:
    """One part on its way out through one link."""

    dispatcher: Dispatcher
    held: Held
    doubt: Doubt
    tries: int  #: before this
    left: bool = False

    def leaving(self) -> None:
        self.dispatcher.fence.check()
        self.left_already()

    def left_already(self) -> None:
        self.dispatcher._table.going_out(self.held, self._fact(FactKind.OUT, self.tries + 1))
        self.left = True

    def back(self) -> None:
        if self.left:
            self.dispatcher._table.happened(self.held, self._fact(FactKind.BACK, self.tries))

    def taken(self, ref: str) -> Fact:
        return taken(self.doubt, ref)

    def late(self, answer: str | SubmitError) -> None:
        """An answer has come after its time."""
        table, held, part = self.dispatcher._table, self.held, self.doubt.part
        if held.row.state.is_final or part in held.sent:
            return
        held = table.again(held)
        if isinstance(answer, str):
            self.dispatcher.doubts.counts["late"] += 1
            table.happened(held, self.taken(answer))
        else:  # of those that went out, this one was not taken
            left = max(held.tries(part) - 1, 0)
            if isinstance(answer, Rejected) and not left:
                row = held.row
                table.happened(
                    held, Fact(FactKind.REFUSED, row.code, row.id, time.time(), error=answer.error)
                )
            else:
                table.happened(held, self._fact(FactKind.BACK, left))
        self.dispatcher.hasten(held)

    def _fact(self, kind: FactKind, tries: int) -> Fact:
        row, doubt = self.held.row, self.doubt
        long = doubt.long if tries else ""
        return Fact(kind, row.code, row.id, time.time(), part=doubt.part, long=long, tries=tries)


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
