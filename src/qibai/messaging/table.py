"""The messages under way: in memory while they are being worked on, in PostgreSQL always.

A fact is written to the journal, then applied here; what changed goes to PostgreSQL in batches. What is in
memory and waits for nothing but a receipt may be let go: a receipt brings it back.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final, Literal

import structlog

from qibai.core.errors import QibaiError, StoreUnavailable
from qibai.core.messages import MessageReason, MessageState
from qibai.messaging.apart import UNSTORABLE, storable, store_apart
from qibai.messaging.facts import Fact, FactKind, MessageKey
from qibai.messaging.held import Held
from qibai.messaging.journal import Journal
from qibai.store import messages
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.group_commit import GroupCommit
from qibai.store.messages import Change, MessageRow, SentPart

FLUSH_S: Final = 0.5
FLUSH_MOST: Final = 500
MOST_OF_ONE_ID: Final = 64  #: parts that are kept apart though their centre gives all the same id
KEEP: Final = 50_000  #: messages that wait for a receipt and are kept in memory

_log = structlog.get_logger("gateway")
Ref = tuple[str, str]  #: (link, the peer's id)
Place = tuple[MessageKey, int]  #: a part


class _Elsewhere(Enum):
    ELSEWHERE = "elsewhere"


ELSEWHERE: Final = _Elsewhere.ELSEWHERE  #: another node has the message
Found = tuple[Held, int] | Literal[_Elsewhere.ELSEWHERE] | None
Fits = Callable[[Held], bool]


class Table:
    """One per gateway. Only ``flush`` and ``find`` wait for PostgreSQL."""

    def __init__(
        self, database: Connections, journal: Journal, node: str, *, receipt_wait_s: float, keep_text: bool
    ) -> None:
        """``keep_text``: a record keeps the text."""
        self._database, self._journal, self._node = database, journal, node
        self._wait_s, self._keep_text = receipt_wait_s, keep_text
        self._held: OrderedDict[MessageKey, Held] = OrderedDict()
        self._refs: dict[Ref, tuple[Place, ...]] = {}  #: a peer may give one id to two messages
        self._dirty: dict[MessageKey, Held] = {}
        self._disowned: list[Fact] = []
        self._out: dict[MessageKey, Held] = {}  #: with a part that went out and was not answered
        self._past: OrderedDict[Ref, None] = OrderedDict()  #: of messages that have ended
        self.unstorable = 0  #: messages that ended, as what a peer said of them could not be stored
        self.unwritten = 0  #: facts that the journal could not take
        self._flushing = asyncio.Lock()
        self._finder: GroupCommit[None, Ref, bool] = GroupCommit(self._find)
        self.ended: Counter[MessageState] = Counter()
        self.on_end: Callable[[Held], None] = lambda held: None  #: a report is due

    @property
    def disowning(self) -> bool:
        """Returns True if PostgreSQL may have messages though their senders were answered that we do not."""
        return bool(self._disowned)

    @property
    def dirty(self) -> int:
        return len(self._dirty)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: MessageKey) -> Held | None:
        return self._held.get(key)

    def add(self, held: Held) -> Held:
        """From now on it is in memory."""
        self._held[held.key] = held
        for part in held.sent.values():
            self._name((part.link, part.ref), (held.key, part.part))
        return held

    def again(self, held: Held) -> Held:
        """The same message after a while in which it may have been let go, or read again."""
        current = self._held.get(held.key)
        if current is None and not held.row.state.is_final:
            return self.add(held)
        return current or held

    def happened(self, held: Held, fact: Fact) -> None:
        """Write down and apply what a peer has done already: on a full disk it is at least known here."""
        try:
            self._journal.append(fact)
        except StoreUnavailable:  # the journal has complained
            self.unwritten += 1
        self.apply(held, fact)

    def going_out(self, held: Held, fact: Fact) -> None:
        """Write down that a part is about to go out. Raise StoreUnavailable: it must not."""
        self._journal.append(fact)
        held.apply(fact, self._wait_s)
        self._out[held.key] = held

    def apply(self, held: Held, fact: Fact) -> bool:
        """Apply a fact that is written down."""
        before = held.row.state
        if not held.apply(fact, self._wait_s):
            return False
        if not held.row.out_tries:
            self._out.pop(held.key, None)
        if fact.kind is FactKind.TAKEN and fact.ref:
            self._name((fact.link, fact.ref), (held.key, fact.part))
        self.changed(held, before)
        return True

    def changed(self, held: Held, before: MessageState | None = None) -> None:
        """PostgreSQL is to hear of a change; ``before``: its state, where that may have changed."""
        held.changes += 1
        self._dirty[held.key] = held
        if held.row.state.is_final and before is not None and not before.is_final:
            self.ended[held.row.state] += 1
            ended = [held]
            for other in held.others:  # from here on each is on its own
                one = self._held.get(other.key) or self.add(Held(other))
                one.row = other
                one.changes += 1
                self._dirty[other.key] = one
                ended.append(one)
            for one in ended:
                if one.row.due_at is not None and one.row.node == self._node:
                    self.on_end(one)

    def disown(self, rows: Iterable[MessageRow], at: float) -> None:
        """PostgreSQL did not say whether it has these: it must not have them. Raise StoreUnavailable."""
        facts = [Fact(FactKind.DISOWNED, row.code, row.id, at, joined=list(row.joined or ())) for row in rows]
        self._disowned += facts
        self._journal.append(*facts)

    def has_ended(self, link: str, ref: str) -> bool:
        """Whether it named a part of a message that has ended, not long ago."""
        return (link, ref) in self._past

    async def find(self, link: str, ref: str, fits: Fits) -> Found:
        """The message and part that a peer knows by ``ref``: the newest that fits, else the newest.

        Raise StoreUnavailable.
        """
        for found in self._named((link, ref)):
            if fits(found[0]):
                return found
        elsewhere = await self._finder.submit(None, (link, ref))
        named = self._named((link, ref))
        for found in named:
            if fits(found[0]):
                return found
        return ELSEWHERE if elsewhere else named[0] if named else None

    def _named(self, ref: Ref) -> list[tuple[Held, int]]:
        """The parts in memory that bear ``ref``: those that wait for a receipt first, the newest first."""
        places = [(self._held.get(key), part) for key, part in self._refs.get(ref, ())]
        found = [(held, part) for held, part in places if held is not None]
        if len(found) > 1:
            found.sort(key=lambda one: one[0].waits_since(one[1]), reverse=True)
        return found

    def _name(self, ref: Ref, place: Place) -> None:
        known = self._refs.get(ref, ())
        if place not in known:
            self._refs[ref] = (*known[1 - MOST_OF_ONE_ID :], place)

    def _unname(self, ref: Ref, place: Place) -> None:
        left = tuple(known for known in self._refs.get(ref, ()) if known != place)
        if left:
            self._refs[ref] = left
        else:
            self._refs.pop(ref, None)

    async def fetch(self, rows: Sequence[MessageRow], conn: Connection) -> list[Held]:
        """Rows just read as messages in memory, with all that belongs to them; what is in memory wins."""
        wanted = [row for row in rows if row.key not in self._held]
        sent: dict[MessageKey, dict[int, SentPart]] = {}
        keys = [row.key for row in wanted if not row.state.is_final]
        for part in await messages.parts_of(conn, keys):
            sent.setdefault((part.code, part.id), {})[part.part] = part
        joined = [(row.code, id) for row in wanted if not row.state.is_final for id in row.joined or ()]
        others: dict[tuple[int, int | None], list[MessageRow]] = {}
        for other in await messages.load_rows(conn, joined):
            others.setdefault((other.code, other.whole_id), []).append(other)
        found = []
        for row in rows:
            held = self._held.get(row.key)
            if held is None:
                parts = sent.get(row.key, {})
                held = Held(row, others.get(row.key, ()), parts, stored_parts=bool(parts))
                self.add(held)
            found.append(held)
        return found

    async def replay(self, facts: Sequence[Fact]) -> None:
        """Apply what an earlier gateway wrote down. Raise StoreUnavailable."""
        self._disowned += [fact for fact in facts if fact.kind is FactKind.DISOWNED]
        await self._database.run(self._disown)
        rest = [fact for fact in facts if fact.kind is not FactKind.DISOWNED]
        for start in range(0, len(rest), FLUSH_MOST):
            chunk = rest[start : start + FLUSH_MOST]
            keys = {fact.key for fact in chunk}

            async def read(conn: Connection, keys: set[MessageKey] = keys) -> list[Held]:
                missing = [key for key in keys if key not in self._held]
                rows = await messages.load_rows(conn, missing)
                return await self.fetch([row for row in rows if row.node == self._node], conn)

            await self._database.run(read)
            for fact in chunk:
                held = self._held.get(fact.key)
                if held is not None:
                    self.apply(held, fact)
                    if held.row.out_tries and not held.row.state.is_final:
                        self._out[held.key] = held
            await self.flush()

    async def run(self, stop: asyncio.Event) -> None:
        """Flush until ``stop``, then once more."""
        failed = False
        while True:
            last = stop.is_set()
            try:
                await self.flush()
                failed = False
            except QibaiError as exc:
                if not failed:
                    _log.warning("what became of messages waits for the database", error=exc.code)
                failed = True
            except Exception as exc:
                _log.error("what became of messages could not be stored", error=type(exc).__name__)
            if last:
                return
            wait = asyncio.create_task(stop.wait())
            await asyncio.wait({wait}, timeout=FLUSH_S)
            wait.cancel()

    async def flush(self) -> None:
        """Bring PostgreSQL up to date. Raise StoreUnavailable."""
        async with self._flushing:  # the clock flushes as well
            files = self._journal.turn()
            if self._disowned:
                await self._database.run(self._disown)
            for held in self._out.values() if files else ():  # the files may be all that tells of them
                held.changes += 1
                self._dirty[held.key] = held
            pending = list(self._dirty.values())
            for start in range(0, len(pending), FLUSH_MOST):
                await self._store(pending[start : start + FLUSH_MOST])
            self._journal.release(files)
            self._let_go()

    async def _store(self, chunk: Sequence[Held]) -> None:
        async def store(some: Sequence[Held]) -> list[tuple[int, Change]]:
            async def work(conn: Connection) -> list[tuple[int, Change]]:
                told = [(held.changes, self._change(held)) for held in some]
                # reads them before it waits
                await messages.update(conn, self._node, [change for _, change in told])
                return told

            return await self._database.run(work)

        for held, stored in zip(chunk, await store_apart(chunk, store), strict=True):
            if stored is UNSTORABLE:
                self._strip(held)
                continue
            mark, change = stored
            held.stored_parts = not change.clear and (held.stored_parts or bool(change.sent))
            if held.changes == mark:
                del self._dirty[held.key]
                if held.row.state.is_final and (held.row.due_at is None or held.row.node != self._node):
                    self._forget(held)

    def _strip(self, held: Held) -> None:
        """What a peer said of a message cannot be stored: end the message, and store that alone.

        The next flush does so. Where it fails as well, the message is let go; PostgreSQL has it as it was.
        """
        self.unstorable += 1
        row, before = held.row, held.row.state
        _log.error("a message ends, as its progress cannot be stored", message=row.id)
        if held.stripped:
            del self._dirty[held.key]
            self._forget(held)
            return
        held.stripped = True
        held.sent = {part: sent for part, sent in held.sent.items() if storable(sent.ref, sent.error or "")}
        row.error, row.stated_at = None, None
        if not before.is_final:
            held.finish(MessageState.UNKNOWN, time.time(), MessageReason.NO_RECEIPT)
            held.stored_parts = True  # some may be there
        self.changed(held, before)

    def _change(self, held: Held) -> Change:
        row = held.row
        if row.state.is_final:
            return Change(row, (), keep=self._keep_text, clear=held.stored_parts)
        return Change(row, list(held.sent.values()))

    def _forget(self, held: Held) -> None:
        self._held.pop(held.key, None)
        self._out.pop(held.key, None)
        ended = held.row.state.is_final
        for part in held.sent.values():
            self._unname((part.link, part.ref), (held.key, part.part))
            if ended and part.ref:
                self._past[part.link, part.ref] = None
        while len(self._past) > KEEP:
            self._past.popitem(last=False)

    def _let_go(self) -> None:
        """Of the oldest that wait for receipts alone, when there are too many."""
        excess = len(self._held) - KEEP
        if excess <= 0:
            return
        for held in list(self._held.values())[: 2 * excess]:
            if not (held.busy or held.reporting or held.key in self._dirty or held.row.out_tries):
                self._forget(held)

    async def _find(self, _: None, refs: Sequence[Ref]) -> list[bool]:
        """Bring into memory what bears these ids; of each id, whether another node's message bears it."""
        elsewhere: set[Ref] = set()

        async def read(conn: Connection) -> None:
            sent = await messages.find_sent(conn, refs)
            missing = {(part.code, part.id) for part in sent} - self._held.keys()
            rows = await messages.load_rows(conn, missing)
            others = {row.key for row in rows if row.node != self._node}
            await self.fetch([row for row in rows if row.node == self._node], conn)
            elsewhere.update((part.link, part.ref) for part in sent if (part.code, part.id) in others)

        await self._database.run(read)
        return [ref in elsewhere for ref in refs]

    async def _disown(self, conn: Connection) -> None:
        pending = list(self._disowned)
        if pending:
            await messages.disown(conn, [(fact.code, fact.id, fact.joined) for fact in pending])
            del self._disowned[: len(pending)]
