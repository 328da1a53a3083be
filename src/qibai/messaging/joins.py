"""Long messages put together. Their parts wait in PostgreSQL, so it does not matter which node took them.

A part is stored, then whoever stored it looks whether it was the last. Two texts of one sender may bear one
reference. When a part comes whose place is taken, it begins a second group; each part fills the oldest group
that is still being written and lacks it, else the newest that lacks it.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from qibai.core.errors import KeyUnknown, SealBroken, StoreUnavailable
from qibai.core.messages import MessageReason, MessageState
from qibai.core.numbering import Code
from qibai.core.text import BadText, Part, join
from qibai.messaging.facts import MessageKey
from qibai.messaging.held import Held, wants_report
from qibai.messaging.link import Refused, Taken
from qibai.messaging.rows import LEASE_S
from qibai.messaging.rules import Rules, Verdict
from qibai.store import messages
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.keys import Keyring
from qibai.store.messages import Body, MessageRow, open_body, open_party

FRESH_S: Final = 30.0  #: a group whose last part is older is not being written any more

_log = structlog.get_logger("gateway")
Body_of = Callable[[Verdict, MessageRow, Part], Awaitable[Body | None]]


@dataclass(slots=True)
class _Group:
    parts: dict[int, MessageRow] = field(default_factory=dict)
    last_at: float = 0.0


def groups_of(rows: Sequence[MessageRow]) -> list[list[MessageRow]]:
    """Parts with one sender and one reference as texts, each in the order of its places."""
    groups: list[_Group] = []
    for row in sorted(rows, key=lambda row: (row.created_at, row.id)):
        seq = row.long_seq or 0
        lacking = [group for group in groups if seq not in group.parts]
        fresh = [group for group in lacking if row.created_at - group.last_at <= FRESH_S]
        group = fresh[0] if fresh else lacking[-1] if lacking else _Group()
        if not lacking:
            groups.append(group)
        group.parts[seq], group.last_at = row, row.created_at
        if len(group.parts) == (row.long_total or 0):
            groups.remove(group)
            groups.append(group)
    return [[group.parts[seq] for seq in sorted(group.parts)] for group in groups]


class Joins:
    """Puts together what has come whole. One per gateway."""

    def __init__(
        self, database: Connections, keyring: Keyring, node: str, rules: Rules, send: Callable[[Held], None]
    ) -> None:
        self._database, self._keyring, self._node = database, keyring, node
        self._rules, self._send = rules, send
        self._again: set[MessageKey] = set()  #: whose group could not be looked at
        self.body_of: Body_of | None = None  #: what may go on of a text
        self.waiting = 0  #: parts of this node, as counted last
        self.missing = 0  #: parts that ended without the rest

    async def arrived(self, row: MessageRow, verdict: Verdict) -> tuple[Taken | Refused, bool]:
        """A part is stored; if it was the last, its message goes on, or is refused (True: just now)."""
        try:
            return await self._try(row, verdict)
        except StoreUnavailable:  # the part is durable: the clock looks again
            self._again.add(row.key)
            return Taken(row.id), False

    async def look_again(self) -> None:
        """Look at parts whose group could not be looked at. Raise StoreUnavailable."""
        keys, self._again = self._again, set()
        try:
            for row in await self._database.run(lambda conn: messages.load_rows(conn, keys)):
                await self.late(row)
                keys.discard(row.key)
        finally:
            self._again |= keys if keys else set()

    async def late(self, row: MessageRow, *, ends: bool = False) -> None:
        """Join the message of a part that waits, if it is whole; ``ends``: it waits no longer in any case.

        Raise StoreUnavailable.
        """
        if not row.waits:
            return
        try:
            if await self._whole_now(row):
                return
        except KeyUnknown:  # others wait as well: they are not held up
            self._again.add(row.key)
        if ends and await self._database.run(lambda conn: messages.end_waiting(conn, row)):
            self.missing += 1
            _log.warning("parts of a long message never came", link=row.in_link)

    async def _whole_now(self, row: MessageRow) -> bool:
        """Join the message of a part, if it is whole. Raise StoreUnavailable."""
        if await self._group(row) is None:
            return False
        try:
            sender = open_party(self._keyring, row.code, row.binding_id, row.id, row.sender or b"")
        except SealBroken:
            return False
        called = str(Code(row.code).number(row.called or 0))
        verdict = await self._rules.decide(sender.e164, called)
        if verdict.refused is not None and verdict.refused.is_temporary:
            raise StoreUnavailable
        await self._try(row, verdict, answers=False)
        return True

    async def count(self) -> None:
        """Count the parts that wait. Raise StoreUnavailable."""
        self.waiting = await self._database.run(lambda conn: messages.count_waiting(conn, self._node))

    async def _try(
        self, row: MessageRow, verdict: Verdict, *, answers: bool = True
    ) -> tuple[Taken | Refused, bool]:
        """``answers``: the sender of ``row`` waits for what becomes of it."""
        group = await self._group(row)
        if group is None:
            return Taken(row.id), False
        body, reason = await self._content(row, group, verdict)
        now = time.time()
        others = [other for other in group if other.id != row.id]
        row.joined, row.node, row.due_at = [other.id for other in others], self._node, now + LEASE_S
        if reason is not None:
            row.state, row.reason, row.final_at = MessageState.REJECTED, reason.value, now
            row.due_at = now if not answers and wants_report(row) else None
        if not await self._database.run(lambda conn: messages.join_parts(conn, row, others)):
            return Taken(row.id), False  # another node was faster
        if reason is not None:
            return (Refused(reason) if answers else Taken(row.id)), True
        for other in others:
            other.whole_id, other.due_at = row.id, None
        if verdict.allowed.from_group and not await self._rules.touch(verdict.allowed):
            _log.warning("a group's last writer could not be noted")
        self._send(Held(row, others, body=body))
        return Taken(row.id), False

    async def _content(
        self, row: MessageRow, group: Sequence[MessageRow], verdict: Verdict
    ) -> tuple[Body | None, MessageReason | None]:
        if verdict.refused is not None:
            return None, verdict.refused
        assert self.body_of is not None  # noqa: S101 - the gateway sets it first of all
        try:
            body = await self.body_of(verdict, row, join([self._part(one) for one in group]))
        except (BadText, SealBroken):
            return None, MessageReason.MALFORMED
        return body, None if body is not None else MessageReason.CONTENT

    async def _group(self, row: MessageRow) -> list[MessageRow] | None:
        """The whole message that ``row`` is a part of, None while parts are missing."""

        async def read(conn: Connection) -> list[MessageRow]:
            places = await messages.places(conn, row)
            if row.id not in places or len(set(places.values())) < (row.long_total or 0):
                return []
            return await messages.load_rows(conn, [(row.code, id) for id in places])

        rows = await self._database.run(read)
        if not rows:
            return None
        mine = self._sender(row)
        rows = [one if one.id != row.id else row for one in rows if self._sender(one) == mine]
        for group in groups_of(rows):
            if any(one.id == row.id for one in group):
                return group if len(group) == row.long_total else None
        return None

    def _sender(self, row: MessageRow) -> str:
        try:
            return open_party(self._keyring, row.code, row.binding_id, row.id, row.sender or b"").e164
        except SealBroken:
            return ""

    def _part(self, row: MessageRow) -> Part:
        body = open_body(self._keyring, row.code, row.id, row.body or b"")
        if not isinstance(body, Part):
            raise SealBroken
        return body
