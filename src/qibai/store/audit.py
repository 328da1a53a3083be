"""The audit trail: one chain of entries for all processes and machines; see ``core.trail``.

An entry is written in the transaction of the act that it tells of: either both are there or neither. Record
last in that transaction, as whoever records waits for whoever did before to commit.
"""

import hmac as compare
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from qibai.core import trail
from qibai.core.errors import AuditBroken
from qibai.core.masking import mask_numbers
from qibai.core.roles import Action
from qibai.core.trail import Entry, Point
from qibai.store.actors import Actor
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

__all__ = ["Actor", "entries", "head", "page", "record", "record_sync", "sealed_head", "verify"]

Connection = psycopg.AsyncConnection[Any]
SyncConnection = psycopg.Connection[Any]

_SQL: Final = load("audit")
_LABEL: Final = b"qibai audit head\0"
_BATCH: Final = 1_000


async def record(
    conn: Connection,
    keyring: Keyring,
    actor: Actor,
    action: Action,
    subject: str,
    /,
    **details: Any,
) -> Point:
    """Add an entry, in the transaction that ``conn`` is in; real numbers in it are masked.

    ``subject`` is what is acted on, such as `tenant:acme`; ``details`` are what JSON can hold. Returns where
    the chain then is, should the transaction commit. Raise Forbidden when the actor's role may not do this at
    all, StoreUnavailable.
    """
    actor.require(action)
    with own_errors():
        async with conn.transaction():
            row = await (await conn.execute(_SQL["lock_head"])).fetchone()
            point, params = _next(keyring, row, _content(actor, action, subject, details))
            await conn.execute(_SQL["add"], params)
    return point


def record_sync(
    conn: SyncConnection,
    keyring: Keyring,
    actor: Actor,
    action: Action,
    subject: str,
    /,
    **details: Any,
) -> Point:
    """``record`` on a connection that is not asyncio's."""
    actor.require(action)
    with own_errors(), conn.transaction():
        row = conn.execute(_SQL["lock_head"]).fetchone()
        point, params = _next(keyring, row, _content(actor, action, subject, details))
        conn.execute(_SQL["add"], params)
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


def entries(conn: SyncConnection) -> Generator[Entry]:
    """All entries in order, read in batches. Raise StoreUnavailable."""
    with own_errors(), conn.transaction(), conn.cursor("audit", row_factory=class_row(Entry)) as cur:
        cur.itersize = _BATCH
        cur.execute(_SQL["entries"])
        yield from cur


def head_is_new(conn: SyncConnection) -> bool:
    """Whether nothing was written to the trail yet. Raise StoreUnavailable."""
    with own_errors():
        row = conn.execute(_SQL["head"]).fetchone()
    return row is not None and row[0] == 0 and not row[3]


def sealed_head(conn: SyncConnection, keyring: Keyring) -> Point:
    """Where the chain has to end. Raise AuditBroken when the head was not written with our keys."""
    with own_errors():
        row = conn.execute(_SQL["head"]).fetchone()
    if row is None:
        raise AuditBroken(0, "the trail's head is gone")
    point, key_id, seal = Point(row[0], bytes(row[1])), row[2], bytes(row[3])
    if point == Point(0, trail.START) and not seal:
        return point
    if not keyring.has_hash_key(key_id) or not compare.compare_digest(_seal(keyring, key_id, point), seal):
        raise AuditBroken(
            point.seq, f"the trail's head (entry {point.seq}) was not sealed with this key file"
        )
    return point


def verify(conn: SyncConnection, keyring: Keyring, anchors: Iterable[Point] = ()) -> Point:
    """Read the whole trail and check it against its sealed head and ``anchors``; memory does not grow.

    Returns where it ends. Raise AuditBroken, naming the first bad entry, StoreUnavailable.
    """
    unsealed: AuditBroken | None = None
    known = list(anchors)
    try:
        known.append(sealed_head(conn, keyring))
    except AuditBroken as exc:
        unsealed = exc  # what is wrong with the entries themselves says more
    last = Point(0, trail.START)
    with closing(entries(conn)) as found:
        for entry in trail.check(found, sorted(known, key=lambda point: point.seq)):
            last = Point(entry.seq, entry.hash)
    if unsealed is not None:
        raise unsealed
    return last


def _content(actor: Actor, action: Action, subject: str, details: Mapping[str, Any]) -> dict[str, str]:
    """In the order in which an entry's digest takes it."""
    return {
        "actor": mask_numbers(actor.name),
        "role": actor.role.value,
        "via": mask_numbers(actor.via),
        "action": action.value,
        "subject": mask_numbers(subject),
        "details": trail.canonical(details),
    }


def _next(
    keyring: Keyring, row: tuple[Any, ...] | None, content: dict[str, str]
) -> tuple[Point, dict[str, Any]]:
    if row is None:
        raise AuditBroken(0, "the trail's head is gone")
    last, prev, at_us = row[0], bytes(row[1]), row[2]
    point = Point(last + 1, trail.digest(prev, last + 1, at_us, *content.values()))
    key_id = keyring.hash_id
    params = content | {"seq": point.seq, "at_us": at_us, "prev": prev, "hash": point.hash}
    return point, params | {"key_id": key_id, "seal": _seal(keyring, key_id, point)}


def _seal(keyring: Keyring, key_id: int, point: Point) -> bytes:
    return keyring.mac(key_id, _LABEL + str(point).encode())
