"""The way in: a message is decided, made durable, and only then acknowledged."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

import structlog

from qibai.config import MessagingConfig
from qibai.core.errors import QibaiError, StoreUnavailable
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import BadText, Encoding, Part, cleaned, decode, encode
from qibai.messaging.apart import UNSTORABLE, Unstorable, storable, store_apart
from qibai.messaging.content import ContentRules
from qibai.messaging.ends import pair_named, pair_of_row
from qibai.messaging.held import Held, receipt_fact
from qibai.messaging.joins import Joins
from qibai.messaging.journal import Journal
from qibai.messaging.limits import Limits
from qibai.messaging.link import Receipt, Received, Refused, Taken
from qibai.messaging.rows import Rows
from qibai.messaging.rules import Rules, Verdict
from qibai.messaging.table import ELSEWHERE, Found, Table
from qibai.store import messages
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.group_commit import GroupCommit
from qibai.store.keys import Keyring
from qibai.store.messages import Body, MessageRow

MAX_UNDER_WAY: Final = 4_096  #: messages that are being accepted
MAX_ANSWERS: Final = 50_000  #: that are remembered
MAX_PARTS_WAITING: Final = 50_000  #: of long messages
NOT_YET_S: Final = 5.0  #: how long a receipt waits for the answer to the submit that it belongs to

#: Refusals that a text of ours can explain to the sender.
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
Settle = Callable[[str, bytes | None, str], tuple[Held, int] | None]


class LongKey(NamedTuple):
    """What parts of one long message have in common."""

    sender: str
    called: str
    ref: int
    total: int
    wide: bool


class Gate:
    """``link.Inbox``: all links give what they get to it."""

    def __init__(
        self,
        config: MessagingConfig,
        database: Connections,
        *,
        rules: Rules,
        content: ContentRules,
        rows: Rows,
        keyring: Keyring,
        joins: Joins,
        table: Table,
        journal: Journal,
        send: Callable[[Held], None],
        settle: Settle,
        in_flight: Callable[[str], int],
    ) -> None:
        """``send`` hands a message on to be sent; ``in_flight``: submits of a link without an answer."""
        self._config, self._database = config, database
        self._rules, self._content, self._limits = rules, content, Limits(config)
        self._rows, self._keyring, self._joins, self._settle = rows, keyring, joins, settle
        joins.body_of = self._text_of
        self._begun: OrderedDict[LongKey, set[int]] = OrderedDict()  #: places of texts that have begun
        self._table, self._journal = table, journal
        self._send, self._in_flight = send, in_flight
        self._storing: GroupCommit[None, MessageRow, messages.Known | Unstorable | None] = GroupCommit(
            self._store
        )
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._pending: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self.accepted = 0
        self.refused: Counter[MessageReason] = Counter()

    def limit(self, config: MessagingConfig) -> None:
        """Count against the limits of ``config`` from now on."""
        self._limits = Limits(config)

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
        if len(self._pending) >= MAX_UNDER_WAY or self._joins.waiting >= MAX_PARTS_WAITING:
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
        if not storable(receipt.ref):  # it can name nothing of ours
            return False
        pair = pair_named(self._keyring, receipt.ends)
        found = await self._awaited(link, receipt, pair)
        if found is None and any(self._table.has_ended(link, ref) for ref in (receipt.ref, *receipt.others)):
            return True  # it comes again
        if found is None:
            found = self._settle(link, pair, receipt.ref)
        if found is None or found is ELSEWHERE:
            await self._keep_receipt(link, receipt, pair)
            return found is ELSEWHERE
        held, part = found
        fact = receipt_fact(held, part, receipt.state, receipt.error, receipt.stated_at)
        await self._journal.keep(fact, lambda: self._table.apply(self._table.again(held), fact))
        return True

    async def is_ours(self, link: str, receipt: Receipt) -> bool:
        """See ``link.Inbox``. Where another node has the message, that node compares the numbers."""
        pair = pair_named(self._keyring, receipt.ends)
        if pair is None or not storable(receipt.ref):
            return False
        return await self._awaited(link, receipt, pair) is not None

    async def _awaited(self, link: str, receipt: Receipt, pair: bytes | None) -> Found:
        """Its message; a receipt may overtake the answer that names it."""
        deadline = time.monotonic() + NOT_YET_S
        while True:
            overtaken = self._in_flight(link) > 0  # asked before looking: the answer may come meanwhile
            found = await self._whose(link, receipt, pair)
            meant = found is ELSEWHERE or (found is not None and self._fits(pair, found[0]))
            if meant or not overtaken or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.02)

    async def _whose(self, link: str, receipt: Receipt, pair: bytes | None) -> Found:
        """Its message: that which has the id and the numbers, else that which has the id, if it is sure.

        It is not sure if anybody may have written it, or if it repeats what was said of an earlier message.
        """
        fits = partial(self._fits, pair)
        odd: Found = None
        for ref in (receipt.ref, *receipt.others):
            found = await self._table.find(link, ref, fits)
            if found is ELSEWHERE or (found is not None and fits(found[0])):
                return found
            if ref == receipt.ref and receipt.sure and not self._table.has_ended(link, ref):
                odd = found
        return odd

    def _fits(self, pair: bytes | None, held: Held) -> bool:
        return pair is None or pair == pair_of_row(self._keyring, held.row)

    async def _keep_receipt(self, link: str, receipt: Receipt, pair: bytes | None) -> None:
        async def write(conn: Connection) -> None:
            await messages.keep_receipt(
                conn,
                link,
                # numbers decide over every id but the first, so what is not sure has none there
                [*([] if receipt.sure else [""]), receipt.ref, *receipt.others],
                receipt.state,
                error=receipt.error,
                stated_at=receipt.stated_at,
                pair=pair,
            )

        await self._database.run(write)

    async def idle(self) -> None:
        """Wait until everything that was taken is answered."""
        while self._pending:
            await asyncio.wait(list(self._pending.values()))

    async def _take(self, received: Received) -> Answer:
        if self._table.disowning:  # PostgreSQL was away a moment ago: first things first
            return Refused(MessageReason.STORE_UNAVAILABLE)
        if not storable(received.ref):
            return Refused(MessageReason.MALFORMED)
        verdict = await self._rules.decide(received.source, received.destination)
        if verdict.refused is not None:
            return await self._refuse(received, verdict, verdict.refused, verdict.rule)
        record, now = verdict.allowed, time.time()
        if received.valid_until is not None and received.valid_until.timestamp() <= now:
            return await self._refuse(received, verdict, MessageReason.VALIDITY_OVER)
        key = _long_key(received, verdict)
        policy = await self._content.policy(record)
        joins = key is not None and (self._config.join or policy.reads_text)
        counts = key is None or not joins or self._begins(key, received.part)
        if counts and not self._allow(verdict):
            return await self._refuse(received, verdict, MessageReason.RATE)
        row = self._rows.accepted(received, record, self._rows.id(), now)
        if key is not None and joins:
            return await self._part(received, verdict, row)
        return await self._whole(received, verdict, row, received.part, as_it_is=key is not None)

    def _begins(self, key: LongKey, part: Part) -> bool:
        """Whether it is the first that is seen of a text: for the limits, a long message is one."""
        seq = part.concat.seq if part.concat else 0
        seen = self._begun.setdefault(key, set())
        begins = not seen or seq in seen
        if begins:
            seen.clear()
        seen.add(seq)
        self._begun.move_to_end(key)
        if len(self._begun) > MAX_ANSWERS:
            self._begun.popitem(last=False)
        return begins

    def _allow(self, verdict: Verdict) -> bool:
        called, caller = verdict.called, verdict.caller
        return called is not None and caller is not None and self._limits.allow(called, caller)

    async def _whole(
        self, received: Received, verdict: Verdict, row: MessageRow, part: Part, *, as_it_is: bool = False
    ) -> Answer:
        """A message that is all there. ``as_it_is``: a part of a long message, passed on as a part."""
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
        written = decode(part)
        text = cleaned(written)
        passed = await self._content.check(
            verdict.allowed, text, row.id, datetime.fromtimestamp(row.created_at, UTC)
        )
        if passed is None:
            return None
        if as_it_is and text != written:
            part = replace(part, data=encode(text, part.encoding))
        body: Body = part if as_it_is else passed.text
        self._rows.fill(row, body, has_number=passed.has_number)
        return body

    async def _keep(self, row: MessageRow, verdict: Verdict, body: Body) -> Answer:
        known = await self._storing.submit(None, row)
        if known is UNSTORABLE:
            return Refused(MessageReason.MALFORMED)
        if known is not None:
            return _said(known)
        if verdict.allowed.from_group and not await self._rules.touch(verdict.allowed):
            _log.warning("a group's last writer could not be noted")
        self._send(Held(row, body=body))
        return Taken(row.id)

    async def _part(self, received: Received, verdict: Verdict, row: MessageRow) -> Answer:
        """A part of a long message that is put together first: whoever brings the last one joins them."""
        self._rows.wait(row, received)
        known = await self._storing.submit(None, row)
        if known is UNSTORABLE:
            return Refused(MessageReason.MALFORMED)
        if known is not None:
            return _said(known)
        answer, refused = await self._joins.arrived(row, verdict)
        if refused and isinstance(answer, Refused):
            await self._tell(verdict, answer.reason, time.time())
        return answer

    async def _text_of(self, verdict: Verdict, row: MessageRow, whole: Part) -> Body | None:
        return await self._body(verdict, row, whole, as_it_is=False)

    async def _refuse(
        self, received: Received, verdict: Verdict, reason: MessageReason, rule: str | None = None
    ) -> Answer:
        """Refuse, with a record unless the sender is to try again."""
        if reason.is_temporary:
            return Refused(reason, rule)
        now = time.time()
        known = await self._storing.submit(None, self._rows.refused(received, verdict, reason, rule, now))
        if known is not None and known is not UNSTORABLE:
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
            if await self._storing.submit(None, row) is not UNSTORABLE:
                self._send(Held(row, body=text))

    async def _store(self, _: None, rows: Sequence[MessageRow]) -> list[messages.Known | Unstorable | None]:
        async def store(some: Sequence[MessageRow]) -> list[messages.Known | None]:
            return await self._database.run(lambda conn: messages.accept(conn, some))

        try:
            return await store_apart(rows, store)
        except StoreUnavailable:
            self._table.disown(rows, time.time())
            raise


def _long_key(received: Received, verdict: Verdict) -> LongKey | None:
    place = received.part.concat
    if place is None or place.total < 2:
        return None
    caller = verdict.caller.e164 if verdict.caller else ""
    return LongKey(caller, str(verdict.called), place.ref, place.total, place.wide)


def _said(known: messages.Known) -> Answer:
    """What the peer was answered about the same before."""
    if known.state is MessageState.REJECTED and known.reason is not None:
        reason = MessageReason(known.reason)
        if reason not in _LATER:
            return Refused(reason, known.rule)
    return Taken(known.id)
