"""How many persons a grave act takes: a row of the database, sealed under the key file.

Whoever gives a command chooses its configuration and environment, so neither may hold this.
"""

import hmac as compare
from typing import Any, Final

import msgspec
import psycopg
from psycopg.rows import class_row

from qibai.core.roles import DUAL_ONCE_TWO, Action
from qibai.store import audit
from qibai.store.actors import Actor
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

TWO: Final = 2
_SQL: Final = load("dual_rule")
_ONE_AT_A_TIME: Final = load("dual")["one_at_a_time"]


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    persons: int
    seq: int
    key_id: int
    seal: bytes
    later: bool  #: the audit trail has a later entry about the rule

    def sound(self, keyring: Keyring) -> bool:
        """Whether the platform wrote it, and it is the latest that the platform wrote."""
        if self.later or not keyring.has_hash_key(self.key_id):
            return False
        return compare.compare_digest(_seal(keyring, self.key_id, self.persons, self.seq), self.seal)


def _seal(keyring: Keyring, key_id: int, persons: int, seq: int) -> bytes:
    return keyring.mac(key_id, b"qibai dual rule\0" + msgspec.json.encode([persons, seq]))


async def persons(conn: Connection, keyring: Keyring) -> int:
    """1 or 2; without a row, or with one that the platform did not write, 2."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(_Row)) as cur:
            row = await (await cur.execute(_SQL["read"])).fetchone()
    return _judged(row, keyring)[0]


def look(conn: psycopg.Connection[Any], keyring: Keyring) -> tuple[int, bool]:
    """``persons``, and whether the row is sound or there is none."""
    with own_errors(), conn.cursor(row_factory=class_row(_Row)) as cur:
        row = cur.execute(_SQL["read"]).fetchone()
    return _judged(row, keyring)


def _judged(row: _Row | None, keyring: Keyring) -> tuple[int, bool]:
    if row is None:
        return TWO, True
    return (row.persons, True) if row.sound(keyring) else (TWO, False)


async def set_rule(
    conn: Connection, keyring: Keyring, actor: Actor, wanted: int, details: dict[str, Any]
) -> None:
    """Let grave acts take so many persons from now on, within ``audit.acts`` of ``conn``.

    Whether ``actor`` may is asked before. Raise Forbidden, StoreUnavailable.
    """
    if wanted not in (1, TWO):
        raise ValueError("one person or two")
    point = await audit.record(conn, actor, Action.DUAL_RULE, "dual:rule", persons=wanted, **details)
    key_id = keyring.hash_id
    row = {
        "persons": wanted,
        "seq": point.seq,
        "key_id": key_id,
        "seal": _seal(keyring, key_id, wanted, point.seq),
    }
    with own_errors():
        await conn.execute(_SQL["write"], row)


async def needed(conn: Connection, keyring: Keyring, action: Action) -> bool:
    """Whether ``action`` takes a second person now.

    Operators whose key was revoked count as well: else one would revoke the other's key first. Acts that
    change who is an operator, or the rule, wait for each other until the end of the transaction of ``conn``:
    of several keys that are made at once each is counted before the next.
    """
    if action in DUAL_ONCE_TWO:
        with own_errors():
            await conn.execute(_ONE_AT_A_TIME, {"name": "dual rule"})
            row = await (await conn.execute(_SQL["operators"])).fetchone()
        if row is None or row[0] < TWO:
            return False
    return await persons(conn, keyring) >= TWO
