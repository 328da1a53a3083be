"""The way in: a message is decided, made durable, and only then acknowledged."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from qibai.config import MessagingConfig
from qibai.core.errors import QibaiError, StoreUnavailable
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import BadText, Encoding, Part, decode, join
from qibai.messaging.batch import Batches
from qibai.messaging.content import ContentRules
from qibai.messaging.database import Connection, Database
from qibai.messaging.facts import Fact, FactKind
from qibai.messaging.held import Held
from qibai.messaging.joiner import MAX_WAITING, Joiner, LongKey, Waiting
from qibai.messaging.journal import Journal
from qibai.messaging.limits import Limits
from qibai.messaging.link import Receipt, Received, Refused, Taken
from qibai.messaging.rows import Rows
from qibai.messaging.rules import Rules, Verdict
from qibai.messaging.table import Table
from qibai.store import messages
from qibai.store.messages import Body, MessageRow

MAX_UNDER_WAY: Final = 4_096  #: messages that are being accepted
MAX_ANSWERS: Final = 50_000  #: that are remembered
NOT_YET_S: Final = 5.0  #: how long a receipt waits for the answer to the submit that it belongs to

#: Refusals that a sender can be told by a text of ours.
TOLD: Final = frozenset(MessageReason) - {
    MessageReason.STORE_UNAVAILABLE,
    MessageReason.OVERLOADED,
    MessageReason.RATE,
    MessageReason.CALLER_UNKNOWN,
    MessageReason.NUMBER_MALFORMED,
}
#: Ends that a message can only have after it was taken.
_LATER: Final = frozenset((MessageReason.PEER_REJECTED, MessageReason.PARTS_MISSING))

_log = structlog.get_logger("gateway")
Answer = Taken | Refused


class Gate:
    """``link.Inbox``: all links give what they get to it."""

    def __init__(
        self,
        config: MessagingConfig,
        database: Database,
        *,
        rules: Rules,
        content: ContentRules,
        rows: Rows,
        joiner: Joiner,
        table: Table,
        journal: Journal,
        send: Callable[[Held], None],
        in_flight: Callable[[str], int],
    ) -> None:
        """``send`` hands a message on to be sent; ``in_flight``: submits of a link without an answer."""
        self._config, self._database = config, database
        self._rules, self._content, self._limits = rules, content, Limits(config)
        self._rows, self._joiner = rows, joiner
        self._table, self._journal = table, journal
        self._send, self._in_flight = send, in_flight
        self._storing: Batches[MessageRow, messages.Known | None] = Batches(self._store)
        self._stored: dict[int, asyncio.Future[messages.Known | None]] = {}
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._pending: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self.accepted = 0
        self.refused: Counter[MessageReason] = Counter()

    @property
    def under_way(self) -> int:
        return len(self._pending)

    async def message(self, received: Received) -> Answer:
        """See ``link.Inbox``."""
        key = (received.link, received.ref)
        known = self._answers.get(key)
        if known is not None:
            return known
        pending = self._pending.get(key)
        if pending is not None:
            return await asyncio.shield(pending)
        if len(self._pending) >= MAX_UNDER_WAY or len(self._joiner) >= MAX_WAITING:
            self.refused[MessageReason.OVERLOADED] += 1
            return Refused(MessageReason.OVERLOADED)
        pending = self._pending[key] = asyncio.create_task(self._answer(received))
        return await asyncio.shield(pending)  # whatever becomes of the link meanwhile

    async def _answer(self, received: Received) -> Answer:
        key = (received.link, received.ref)
        answer: Answer = Refused(MessageReason.STORE_UNAVAILABLE)
        try:
            answer = await self._take(received)
        except QibaiError as exc:
            if not isinstance(exc, StoreUnavailable):
                _log.error("a message could not be taken", error=exc.code)
        finally:
            del self._pending[key]
        if isinstance(answer, Refused):
            self.refused[answer.reason] += 1
        else:
            self.accepted += 1
        if isinstance(answer, Taken) or not answer.reason.is_temporary:
            self._answers[key] = answer
            if len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
        return answer

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        """See ``link.Inbox``."""
        deadline = time.monotonic() + NOT_YET_S
        overtaken = self._in_flight(link) > 0  # asked before looking: the answer may come meanwhile
        while (found := await self._table.find(link, receipt.ref)) is None:
            if not overtaken or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
            overtaken = self._in_flight(link) > 0
        held, part = found
        fact = Fact(
            FactKind.RECEIPT,
            held.row.code,
            held.row.id,
            receipt.at.timestamp(),
            part=part,
            state=receipt.state,
            error=receipt.error,
        )
        await self._journal.keep(fact, lambda: self._table.apply(self._table.again(held), fact))
        return True

    async def idle(self) -> None:
        """Wait until everything that was taken is answered."""
        while self._pending:
            await asyncio.wait(list(self._pending.values()))

    async def _take(self, received: Received) -> Answer:
        if self._table.disowning:  # PostgreSQL was away a moment ago: first things first
            return Refused(MessageReason.STORE_UNAVAILABLE)
        verdict = await self._rules.decide(received.source, received.destination)
        if verdict.refused is not None:
            return await self._refuse(received, verdict, verdict.refused, verdict.rule)
        record, now = verdict.allowed, time.time()
        if received.valid_until is not None and received.valid_until.timestamp() <= now:
            return await self._refuse(received, verdict, MessageReason.VALIDITY_OVER)
        key = _long_key(received, verdict)
        policy = await self._content.policy(record)
        joins = key is not None and (self._config.join or policy.reads_text)
        if key is not None and joins:
            again = self._joiner.known(key, received.part, now)
            if again is not None:
                return Taken(again)
        if not (joins and key is not None and not self._joiner.is_new(key)) and not self._allow(verdict):
            return await self._refuse(received, verdict, MessageReason.RATE)
        row = self._rows.accepted(received, record, self._rows.id(), now)
        if key is not None and joins:
            return await self._part(received, verdict, key, row)
        return await self._whole(received, verdict, row, received.part, as_it_is=key is not None)

    def _allow(self, verdict: Verdict) -> bool:
        called, caller = verdict.called, verdict.caller
        return called is not None and caller is not None and self._limits.allow(called, caller)

    async def _whole(
        self, received: Received, verdict: Verdict, row: MessageRow, part: Part, *, as_it_is: bool = False
    ) -> Answer:
        """A message that is all there. ``as_it_is``: a part of a long one, passed as such."""
        try:
            body = await self._body(verdict, row, part, as_it_is=as_it_is)
        except BadText:
            return await self._refuse(received, verdict, MessageReason.MALFORMED)
        if body is None:
            return await self._refuse(received, verdict, MessageReason.CONTENT)
        return await self._keep(row, verdict, body)

    async def _body(self, verdict: Verdict, row: MessageRow, part: Part, *, as_it_is: bool) -> Body | None:
        """What may go on, or None. Raise BadText."""
        if part.encoding is Encoding.BINARY:
            policy = await self._content.policy(verdict.allowed)
            readable = policy.reads_text or policy.hook.value == "block"
            if readable:  # nobody can say what is in it
                return None
            self._rows.fill(row, part)
            return part
        text = decode(part)
        passed = await self._content.check(
            verdict.allowed, text, row.id, datetime.fromtimestamp(row.created_at, UTC)
        )
        if passed is None:
            return None
        body: Body = part if as_it_is else passed.text
        self._rows.fill(row, body, has_number=passed.has_number)
        return body

    async def _keep(self, row: MessageRow, verdict: Verdict, body: Body) -> Answer:
        known = await self._storing.submit(row)
        if known is not None:
            return _said(known)
        if verdict.allowed.from_group and not await self._rules.touch(verdict.allowed):
            _log.warning("a group's last writer could not be noted")
        self._send(Held(row, body=body))
        return Taken(row.id)

    async def _part(self, received: Received, verdict: Verdict, key: LongKey, row: MessageRow) -> Answer:
        """A part of a long message that is put together first: whoever brings the last one joins them."""
        self._joiner.add(key, Waiting(row, received.part))
        if self._joiner.is_full(key):
            others = [self._stored[w.row.id] for w in self._joiner.parts(key) if w.row.id in self._stored]
            if others:
                await asyncio.wait(others)
            await asyncio.sleep(0)  # whoever waited for these marks them first
            taken = self._joiner.take(key, row)
            if taken is not None:
                return await self._join(received, verdict, key, row, taken)
        self._rows.wait(row, received)
        future = self._stored[row.id] = self._storing.submit(row)
        try:
            known = await future
        except QibaiError:
            self._joiner.drop(row)
            raise
        finally:
            del self._stored[row.id]
        if known is not None:
            self._joiner.drop(row)
            return _said(known)
        for waiting in self._joiner.parts(key):
            if waiting.row is row:
                waiting.stored = True
        return Taken(row.id)

    async def _join(
        self, received: Received, verdict: Verdict, key: LongKey, row: MessageRow, parts: Sequence[Waiting]
    ) -> Answer:
        others = [waiting.row for waiting in parts if waiting.row is not row]
        row.joined = [other.id for other in others]
        try:
            try:
                whole = join([waiting.part for waiting in parts])
                answer = await self._whole_of(received, verdict, row, whole, others)
            except BadText:
                answer = await self._refuse(received, verdict, MessageReason.MALFORMED)
        except QibaiError:
            self._joiner.give_back(key)
            self._joiner.drop(row)
            raise
        now = time.time()
        self._joiner.done(key, now)
        if isinstance(answer, Refused):
            for other in others:
                held = self._table.add(Held(other))
                held.finish(MessageState.REJECTED, now, answer.reason)
                self._table.changed(held, MessageState.QUEUED)
        return answer

    async def _whole_of(
        self, received: Received, verdict: Verdict, row: MessageRow, whole: Part, others: list[MessageRow]
    ) -> Answer:
        body = await self._body(verdict, row, whole, as_it_is=False)
        if body is None:
            return await self._refuse(received, verdict, MessageReason.CONTENT)
        known = await self._storing.submit(row)
        if known is not None:
            return _said(known)
        for other in others:
            other.whole_id, other.due_at = row.id, None
        if verdict.allowed.from_group:
            await self._rules.touch(verdict.allowed)
        self._send(Held(row, others, body=body))
        return Taken(row.id)

    async def _refuse(
        self, received: Received, verdict: Verdict, reason: MessageReason, rule: str | None = None
    ) -> Answer:
        """Refuse, with a record unless the sender is to try again."""
        if reason.is_temporary:
            return Refused(reason, rule)
        now = time.time()
        known = await self._storing.submit(self._rows.refused(received, verdict, reason, rule, now))
        if known is not None:
            return _said(known)
        await self._tell(verdict, reason, now)
        return Refused(reason, rule)

    async def _tell(self, verdict: Verdict, reason: MessageReason, now: float) -> None:
        """Send the sender a text of ours, where one is configured."""
        text, called, caller = self._config.refusal_text, verdict.called, verdict.caller
        if not text or reason not in TOLD or called is None or caller is None:
            return
        if self._limits.may_tell(called, caller):
            row = self._rows.notice(called, caller, text, now)
            await self._storing.submit(row)
            self._send(Held(row, body=text))

    async def _store(self, rows: Sequence[MessageRow]) -> list[messages.Known | None]:
        async def write(conn: Connection) -> list[messages.Known | None]:
            return await messages.accept(conn, rows)

        try:
            return await self._database.run(write)
        except StoreUnavailable:
            self._table.disown(rows, time.time())
            raise


def _long_key(received: Received, verdict: Verdict) -> LongKey | None:
    place = received.part.concat
    if place is None or place.total < 2:
        return None
    caller = verdict.caller.e164 if verdict.caller else ""
    return LongKey(received.link, caller, str(verdict.called), place.ref, place.total, place.wide)


def _said(known: messages.Known) -> Answer:
    """What the peer was told about the same before."""
    if known.state is MessageState.REJECTED and known.reason is not None:
        reason = MessageReason(known.reason)
        if reason not in _LATER:
            return Refused(reason, known.rule)
    return Taken(known.id)
