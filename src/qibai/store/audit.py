"""The audit trail: one chain of entries for all processes and machines; see ``core.trail``.

An entry is written in the transaction of the act that it tells of: either both are there or neither. This
transaction is one of ``acts`` or ``acts_sync``, which anchor the entry before the act is answered. Record
last in it, as whoever records waits for whoever did before to commit.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
import structlog
from psycopg.rows import class_row

from qibai.core import trail
from qibai.core.errors import AuditBroken
from qibai.core.roles import Action
from qibai.core.trail import Entry, Point
from qibai.store.actors import Actor
from qibai.store.anchors import Witness
from qibai.store.audit_seals import Head, Mark, seals
from qibai.store.connection import Connection, SyncConnection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

__all__ = ["Actor", "Witness", "acts", "acts_sync", "head", "page", "record", "record_sync"]


_SQL: Final = load("audit")
_BEHIND: Final = 1_000
_LAST: Final = 10_000
_log: Final = structlog.get_logger("qibai.audit")


class _Acts:
    """The acts of one transaction: what was entered, by place."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.points: dict[int, Point] = {}

    def upto(self, row: tuple[Any, ...] | None) -> list[Point]:
        """What a savepoint that was given up has not taken back."""
        last = 0 if row is None else row[0]
        return [point for seq, point in sorted(self.points.items()) if seq <= last]


_open: Final[WeakKeyDictionary[Any, _Acts]] = WeakKeyDictionary()


@asynccontextmanager
async def acts(conn: Connection, witness: Witness) -> AsyncIterator[None]:
    """A transaction in which acts are done and recorded.

    Before it commits, ``witness`` notes the new entries; AuditUnanchored is raised when that fails, and
    nothing was done then. Raise StoreUnavailable.
    """
    one = _begin(conn, witness)
    try:
        with own_errors():
            async with conn.transaction():
                yield
                points = one.upto(await (await conn.execute(_SQL["head"])).fetchone() if one.points else None)
                if points:
                    await asyncio.to_thread(witness.intend, points)
        if points:
            await asyncio.to_thread(witness.confirm, points)
    finally:
        _open.pop(conn, None)


@contextmanager
def acts_sync(conn: SyncConnection, witness: Witness) -> Iterator[None]:
    """``acts`` on a connection that is not asyncio's."""
    one = _begin(conn, witness)
    try:
        with own_errors(), conn.transaction():
            yield
            points = one.upto(conn.execute(_SQL["head"]).fetchone() if one.points else None)
            if points:
                witness.intend(points)
        if points:
            witness.confirm(points)
    finally:
        _open.pop(conn, None)


async def record(conn: Connection, actor: Actor, action: Action, subject: str, /, **details: Any) -> Point:
    """Add an entry, within ``acts`` of ``conn``; real numbers in it are masked.

    ``subject`` is what is acted on, such as `tenant:acme`; ``details`` are what JSON can hold. Returns where
    the chain then is, should the transaction commit. Raise Forbidden when the actor's role may not do this at
    all, StoreUnavailable.
    """
    actor.require(action)
    one = _of(conn)
    with own_errors():
        async with conn.transaction():
            row = await (await conn.execute(_SQL["lock_head"])).fetchone()
            tip = _Tip(one.witness.keyring, row)
            for query in tip.queries():
                async with conn.cursor(row_factory=class_row(Mark)) as cur:
                    tip.look(await (await cur.execute(_SQL[query], tip.params)).fetchall())
            point, params = tip.next(one.witness.node, _content(actor, action, subject, details))
            await conn.execute(_SQL["add"], params)
    one.points[point.seq] = point
    return point


def record_sync(conn: SyncConnection, actor: Actor, action: Action, subject: str, /, **details: Any) -> Point:
    """``record`` on a connection that is not asyncio's, within ``acts_sync``."""
    actor.require(action)
    one = _of(conn)
    with own_errors(), conn.transaction():
        tip = _Tip(one.witness.keyring, conn.execute(_SQL["lock_head"]).fetchone())
        for query in tip.queries():
            with conn.cursor(row_factory=class_row(Mark)) as cur:
                tip.look(cur.execute(_SQL[query], tip.params).fetchall())
        point, params = tip.next(one.witness.node, _content(actor, action, subject, details))
        conn.execute(_SQL["add"], params)
    one.points[point.seq] = point
    return point


async def page(
    conn: Connection,
    *,
    before: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Entries, the latest first, with numbers below ``before``. Raise StoreUnavailable."""
    params = {
        "before": before,
        "actor": actor,
        "action": action,
        "subject": subject,
        "since": since,
        "until": until,
        "limit": limit,
    }
    with own_errors():
        async with conn.cursor(row_factory=class_row(Entry)) as cur:
            return await (await cur.execute(_SQL["page"], params)).fetchall()


async def head(conn: Connection) -> Point:
    """Where the chain is, as the database says."""
    with own_errors():
        row = await (await conn.execute(_SQL["head"])).fetchone()
    if row is None:
        raise AuditBroken(0, "the trail's head is gone")
    return Point(row[0], bytes(row[1]))


class _Tip:
    """The entry that the next one follows: the head, unless somebody without our keys has moved it.

    What was forged must neither keep acts from being done nor become a part of the chain. So the next entry
    follows the last one that has a seal; ``audit verify`` finds what stands beside.
    """

    def __init__(self, keyring: Keyring, row: tuple[Any, ...] | None) -> None:
        if row is None:
            raise AuditBroken(0, "the trail's head is gone")
        *fields, self._at_us = row
        seq, hash, key_id, seal, sealed_from, newest_key = fields
        self._keyring = keyring
        self._head = Head(
            seq=seq,
            hash=bytes(hash),
            key_id=key_id,
            seal=bytes(seal),
            sealed_from=sealed_from,
            newest_key=newest_key,
        )
        self._head.require_key(keyring)
        self._point = self._head.point
        self._sound = self._head.new or self._head.sealed(keyring)
        self.params = {"seq": self._head.seq, "limit": _BEHIND if self._sound else _LAST}

    def queries(self) -> tuple[str, ...]:
        """What there is to look at."""
        return ("behind",) if self._sound else ("last",)

    def look(self, found: Sequence[Mark]) -> None:
        """At entries behind the head, or at the last ones when the head is not to be believed."""
        if not found and self._sound:
            return
        ours = max((one for one in found if one.sealed(self._keyring)), key=lambda one: one.seq, default=None)
        if ours is not None:
            self._point = ours.point
        _log.error(
            "audit trail broken",
            reason="entries behind the head" if self._sound else "the head has no seal of ours",
            head=self._head.seq,
            goes_on_after=self._point.seq,
        )

    def next(self, node: str, content: dict[str, str]) -> tuple[Point, dict[str, Any]]:
        """The place of the next entry, and the statement's parameters."""
        seq, prev = self._point.seq + 1, self._point.hash
        point = Point(seq, trail.digest(prev, seq, self._at_us, *content.values()))
        params = content | {"seq": seq, "at_us": self._at_us, "prev": prev, "hash": point.hash, "node": node}
        return point, params | seals(self._keyring, point, node, self._head.sealed_from)


def _begin(conn: Any, witness: Witness) -> _Acts:
    if conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        raise RuntimeError("acts begin their own transaction: only then are they anchored when it commits")
    one = _open[conn] = _Acts(witness)
    return one


def _of(conn: Any) -> _Acts:
    one = _open.get(conn)
    if one is None:
        raise RuntimeError("an act is recorded within audit.acts, which anchors it before it is answered")
    return one


def _content(actor: Actor, action: Action, subject: str, details: Mapping[str, Any]) -> dict[str, str]:
    """In the order in which an entry's digest takes it."""
    return {
        "actor": trail.masked(actor.name),
        "role": actor.role.value,
        "via": trail.masked(actor.via),
        "action": action.value,
        "subject": trail.masked(subject),
        "details": trail.canonical(details),
    }
