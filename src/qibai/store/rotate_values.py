"""Re-encrypt every sealed value under a new value key; see ``rotate_values``."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from qibai.core.errors import KeyUnknown, SealBroken
from qibai.store import keyfile, made_keys
from qibai.store.crypto import VALUE_KEY_BYTES, binding_aad, sealed_key_id
from qibai.store.keycheck import check_key_file
from qibai.store.keyfile import KeyFile
from qibai.store.keys import RELOAD_INTERVAL_S, Keyring
from qibai.store.message_policy import policy_aad
from qibai.store.rotating import (
    BATCH,
    Key,
    Progress,
    Rotation,
    Started,
    no_progress,
    no_question,
    partitions,
    rotating,
)
from qibai.store.tenants import api_key_aad

#: Longer than a process may go on sealing with the key it knows, and its transaction may take.
SETTLE_S: Final = RELOAD_INTERVAL_S + 2.0
VALUES_JOB: Final = "values"


@dataclass(frozen=True, slots=True)
class SealedTable:
    """Where sealed values are; ``aads``: what they may be tied to, from the key and context columns."""

    name: str
    key: tuple[str, ...]
    first: tuple[Any, ...]  #: sorts before every key
    context: tuple[str, ...]
    columns: tuple[str, ...]
    arrays: tuple[str, ...]
    aads: Callable[[Sequence[Any]], list[bytes]]

    @property
    def parts(self) -> list[str]:
        return [self.name] if self.name in ("api_key", "message_policy") else partitions(self.name)


_MIN_INT: Final = -(2**31)
_TABLES: Final = {
    table.name: table
    for table in (
        SealedTable(
            "binding",
            ("code", "id"),
            (_MIN_INT, -(2**63)),
            (),
            ("a", "b"),
            ("members",),
            lambda row: [binding_aad(row[0], row[1])],
        ),
        SealedTable(
            "route",
            ("code", "serial", "caller_key"),
            (_MIN_INT, -(2**15), b""),
            ("binding_id",),
            ("callee", "caller"),
            (),
            lambda row: [binding_aad(row[0], row[3])],
        ),
        SealedTable(
            "existing_binding",
            ("code", "id"),
            (_MIN_INT, -(2**63)),
            (),
            ("numbers",),
            (),
            lambda row: [binding_aad(row[0], row[1])],
        ),
        SealedTable(
            "existing_route",
            ("code", "caller_key"),
            (_MIN_INT, b""),
            ("binding_code", "binding_id"),
            ("numbers",),
            (),
            lambda row: [binding_aad(row[2], row[3])],
        ),
        SealedTable(
            "call",
            ("code", "id"),
            (_MIN_INT, -(2**63)),
            ("binding_id",),
            ("caller", "callee", "legs", "dialled"),
            (),
            lambda row: [binding_aad(row[0], id) for id in (row[2], row[1]) if id is not None],
        ),
        SealedTable(
            "message",
            ("code", "id"),
            (_MIN_INT, -(2**63)),
            ("binding_id",),
            ("sender", "receiver", "body"),
            (),
            lambda row: [binding_aad(row[0], id) for id in (row[2], row[1]) if id is not None],
        ),
        SealedTable(
            "api_key",
            ("id",),
            ("",),
            ("kind", "tenant_id", "platform_id", "person"),
            ("secret",),
            (),
            lambda row: [api_key_aad(*row)],
        ),
        SealedTable(
            "message_policy",
            ("tenant_id",),
            (_MIN_INT,),
            (),
            ("secret",),
            (),
            lambda row: [policy_aad(row[0])],
        ),
    )
}


_BY_PART: Final = {part: table for table in _TABLES.values() for part in table.parts}


@dataclass(frozen=True, slots=True)
class ValuesRotated:
    """``rows`` were re-encrypted under ``key_id``; ``broken`` rows hold a value that no key of ours opens."""

    key_id: int
    rows: int
    broken: int


def rotate_values(
    dsn: str,
    keyring: Keyring,
    progress: Progress = no_progress,
    *,
    started: Started = no_question,
    settle_s: float = SETTLE_S,
) -> ValuesRotated:
    """Move everything to the prepared or a new value key; after an interruption, go on with that key.

    ``settle_s``: how long after the key was made other processes may still use the old one; the last pass
    begins later than that. Raise Conflict, StoreUnavailable or KeyFileError, and what ``started`` raises.
    """
    with rotating(dsn, progress) as rotation:
        keyring.reload_if_changed()  # another process may have rotated until now
        check_key_file(rotation.conn, keyring.path)
        made_keys.require_newest(rotation.conn, keyring.path)
        new = not _unfinished(rotation, keyring.value_id)
        started(new)
        if new:
            _new_key(rotation, keyring)
        made = time.monotonic()
        work = _Resealing(rotation, keyring)
        parts = [part for table in _TABLES.values() for part in table.parts]
        job = f"{VALUES_JOB}:{keyring.value_id}"
        rows = rotation.run(job, parts, work.batch)
        while True:
            time.sleep(max(0.0, made + settle_s - time.monotonic()))
            late = f"{job}:late"
            rotation.forget(late)
            work.broken = 0
            moved = rotation.run(late, parts, work.batch)
            rotation.forget(late)
            rows += moved
            if not moved:
                break
        rotation.forget(job)
        rotation.forget(VALUES_JOB)
        return ValuesRotated(keyring.value_id, rows, work.broken)


def _unfinished(rotation: Rotation, current: int) -> bool:
    found = rotation.conn.execute(
        "SELECT 1 FROM rotation_progress WHERE job = %s AND part = %s", [VALUES_JOB, str(current)]
    )
    return found.fetchone() is not None


def _new_key(rotation: Rotation, keyring: Keyring) -> None:
    def change(content: KeyFile) -> None:
        content.value.current = keyfile.next_key(content.value, VALUE_KEY_BYTES)

    keyfile.update(keyring.path, change)
    made_keys.enter(rotation.conn, keyring.path)
    keyring.reload_if_changed()
    rotation.forget(VALUES_JOB)
    rotation.conn.execute(
        "INSERT INTO rotation_progress (job, part) VALUES (%s, %s)", [VALUES_JOB, str(keyring.value_id)]
    )


class _Resealing:
    """Batches of ``Rotation.run``; ``broken`` counts rows that had to stay as they are."""

    def __init__(self, rotation: Rotation, keyring: Keyring) -> None:
        self._conn = rotation.conn
        self._keyring = keyring
        self.broken = 0

    def batch(self, part: str, after: Key | None) -> tuple[int, Key | None]:
        table = _BY_PART[part]
        params = {"current": self._keyring.value_id.to_bytes(2), "limit": BATCH}
        for name, value in zip(table.key, _from_json(table, after), strict=True):
            params[f"after_{name}"] = value
        rows = self._conn.execute(_select(table, part), params).fetchall()
        changes = [change for row in rows if (change := self._change(table, row)) is not None]
        if changes:
            with self._conn.cursor() as cur:
                cur.executemany(_update(table, part), changes)
                moved = cur.rowcount
        else:
            moved = 0
        last = _to_json(rows[-1][: len(table.key)]) if len(rows) == BATCH else None
        return moved, last

    def _change(self, table: SealedTable, row: tuple[Any, ...]) -> list[Any] | None:
        """The parameters of the row's update: new values, key, old values; None for a broken row."""
        width = len(table.key) + len(table.context)
        context, old = row[:width], row[width:]
        aads = table.aads(context)
        try:
            new = [
                [self._reseal(blob, aads) for blob in value]
                if isinstance(value, list)
                else self._reseal(value, aads)
                for value in old
            ]
        except (KeyUnknown, SealBroken):
            self.broken += 1
            return None
        return [*new, *row[: len(table.key)], *old]

    def _reseal(self, blob: bytes | None, aads: list[bytes]) -> bytes | None:
        if blob is None or sealed_key_id(blob) == self._keyring.value_id:
            return blob
        for aad in aads:
            try:
                return self._keyring.seal(self._keyring.open(blob, aad), aad)
            except SealBroken:
                continue
        raise SealBroken


def _select(table: SealedTable, part: str) -> sql.Composed:
    stale = [
        sql.SQL("substr({}, 1, 2) <> %(current)s").format(sql.Identifier(name)) for name in table.columns
    ]
    stale += [
        sql.SQL("EXISTS (SELECT FROM unnest({}) m WHERE substr(m, 1, 2) <> %(current)s)").format(
            sql.Identifier(name)
        )
        for name in table.arrays
    ]
    return sql.SQL(
        "SELECT {wanted} FROM {part} WHERE ({key}) > ({after}) AND ({stale}) ORDER BY {key} LIMIT %(limit)s"
    ).format(
        wanted=_names(table.key + table.context + table.columns + table.arrays),
        part=sql.Identifier(part),
        key=_names(table.key),
        after=sql.SQL(", ").join(sql.Placeholder(f"after_{name}") for name in table.key),
        stale=sql.SQL(" OR ").join(stale),
    )


def _update(table: SealedTable, part: str) -> sql.Composed:
    """Sets the new values only while the old ones are there: whoever changed the row meanwhile is right."""
    names = table.columns + table.arrays
    same = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in table.key]
    same += [sql.SQL("{} IS NOT DISTINCT FROM %s").format(sql.Identifier(name)) for name in names]
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(
        sql.Identifier(part),
        sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in names),
        sql.SQL(" AND ").join(same),
    )


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _to_json(key: Sequence[Any]) -> Key:
    return [value.hex() if isinstance(value, bytes) else value for value in key]


def _from_json(table: SealedTable, after: Key | None) -> Sequence[Any]:
    if after is None:
        return table.first
    kinds = map(type, table.first)
    return [
        bytes.fromhex(value) if kind is bytes else value for kind, value in zip(kinds, after, strict=True)
    ]
