"""Move all pairs to a new blind index while calls and bindings go on; see ``rotate_hash``.

The phases are described in the schema, at ``hash_rotation``. A phase begins only when every row is ready for
it and no writer of the phase before is still at work.
"""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from qibai.core.errors import SealBroken
from qibai.store import keyfile, made_keys
from qibai.store.crypto import HASH_KEY_BYTES
from qibai.store.hashed import TABLES, HashedTable, table_of
from qibai.store.keycheck import check_key_file
from qibai.store.keyfile import KeyFile
from qibai.store.keys import Keyring
from qibai.store.rotating import (
    BATCH,
    Batch,
    Key,
    Progress,
    Rotation,
    Started,
    no_progress,
    no_question,
    partitions,
    rotating,
)
from qibai.store.statements import load

_SQL: Final = load("rotation")
PHASE_LOCK: Final = 7_001  # route_epoch() takes it shared


def rotate_hash(
    dsn: str, keyring: Keyring, progress: Progress = no_progress, *, started: Started = no_question
) -> int:
    """Make a new hash key, move all pairs to it, and return its id; go on with an interrupted rotation.

    Raise Conflict, StoreUnavailable, KeyFileError, what ``started`` raises, or SealBroken when a live route's
    caller cannot be read; then nothing is lost, and the command can be run again once the row or the key file
    is mended.
    """
    with rotating(dsn, progress) as rotation:
        keyring.reload_if_changed()  # another process may have rotated until now
        check_key_file(rotation.conn, keyring.path)
        made_keys.require_newest(rotation.conn, keyring.path)
        work = _Rehashing(rotation, keyring)
        phase, current, following = work.state()
        started(phase == 0 and keyring.next_hash_id is None)
        if phase == 0 and keyring.next_hash_id == current:  # all done but the key file
            return work.finish_file()
        if phase == 0:
            following = work.next_key()
            work.enter(1, current, following)
            phase = 1
        if phase == 1:
            work.through(f"hash:{following}:fill", work.fill, "next_key IS NULL")
            work.enter(2, current, following)
            phase = 2
        if phase == 2:
            work.through(f"hash:{following}:switch", work.switch, "caller_key IS DISTINCT FROM next_key")
            work.enter(3, current, following)
        work.through(f"hash:{following}:clean", work.clean, "next_key IS NOT NULL")
        work.enter(0, following, None)
        for step in ("fill", "switch", "clean"):
            rotation.forget(f"hash:{following}:{step}")
        return work.finish_file()


class _Rehashing:
    def __init__(self, rotation: Rotation, keyring: Keyring) -> None:
        self._rotation = rotation
        self._conn = rotation.conn
        self._keyring = keyring

    def state(self) -> tuple[int, int, int]:
        """Phase, current key, next key (0: none)."""
        row = self._conn.execute(_SQL["state"]).fetchone()
        if row is None:
            raise psycopg.errors.UndefinedTable
        phase, current, following = row
        return phase, current, following

    def next_key(self) -> int:
        """The key file's next hash key, made now unless an interrupted run has made it."""

        def change(content: KeyFile) -> None:
            if content.hash.next is None:
                content.hash.next = keyfile.next_key(content.hash, HASH_KEY_BYTES)

        content = keyfile.update(self._keyring.path, change)
        made_keys.enter(self._conn, self._keyring.path)
        self._keyring.reload_if_changed()
        return content.hash.next or 0

    def finish_file(self) -> int:
        """Make the next hash key the key file's current one."""

        def change(content: KeyFile) -> None:
            if content.hash.next is not None:
                content.hash.current, content.hash.next = content.hash.next, None

        content = keyfile.update(self._keyring.path, change)
        self._keyring.reload_if_changed()
        return content.hash.current

    def enter(self, phase: int, current: int, following: int | None) -> None:
        """Change the phase while no writer is at work; those who come meanwhile wait these milliseconds."""

        def change() -> None:
            with self._conn.transaction():
                self._conn.execute("SELECT pg_advisory_xact_lock(%s)", [PHASE_LOCK])
                state = {"phase": phase, "current": current, "next": following}
                self._conn.execute(_SQL["enter_phase"], state)

        self._rotation.retry(change)

    def through(self, job: str, batch: Batch, left: LiteralString) -> None:
        """Run a step until no row is ``left``: the next phase must find every row ready."""
        while True:
            self._rotation.run(job, [part for table in TABLES for part in partitions(table.name)], batch)
            if not any(self._any(table, left) for table in TABLES):
                return
            self._rotation.forget(job)

    def _any(self, table: HashedTable, left: LiteralString) -> bool:
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})")
        found = self._conn.execute(query.format(sql.Identifier(table.name), sql.SQL(left))).fetchone()
        return found != (False,)

    def fill(self, part: str, after: Key | None) -> tuple[int, Key | None]:
        """Phase 1: give next_key to rows that were written before it."""
        table = table_of(part)
        rows = self._rows(
            "SELECT {key}, caller_key, free_at <= now(), binding_id, {needed} FROM {part}"
            " WHERE ({key}, caller_key) > ({after}) AND next_key IS NULL ORDER BY {key}, caller_key LIMIT %s",
            part,
            after,
        )
        _, _, following = self.state()
        changes = []
        width = len(table.key)
        for row in rows:
            key, (free, binding_id), needed = row[: width + 1], row[width + 1 : width + 3], row[width + 2 :]
            try:
                blind = table.blind(self._keyring, following, [*key[:width], *needed])
            except SealBroken:
                if not free:
                    raise
                self._delete(part, key)
                continue
            changes.append([blind, *key, binding_id])
        if changes:
            statement = sql.SQL(
                "UPDATE {part} SET next_key = %s WHERE {same} AND binding_id = %s AND next_key IS NULL"
            ).format(part=sql.Identifier(part), same=_same(table))
            with self._conn.cursor() as cur:
                cur.executemany(statement, changes)
        return len(changes), _last(rows, width + 1)

    def switch(self, part: str, after: Key | None) -> tuple[int, Key | None]:
        """Phase 2: caller_key becomes next_key; walked by next_key, which stays."""
        return self._walk_next(part, after, "caller_key = r.next_key", "r.caller_key <> r.next_key")

    def clean(self, part: str, after: Key | None) -> tuple[int, Key | None]:
        """Phase 3: next_key has served."""
        return self._walk_next(part, after, "next_key = NULL", "true")

    def _walk_next(
        self, part: str, after: Key | None, change: LiteralString, where: LiteralString
    ) -> tuple[int, Key | None]:
        table = table_of(part)
        rows = self._rows(
            "SELECT {key}, next_key FROM {part} WHERE ({key}, next_key) > ({after}) AND next_key IS NOT NULL"
            " ORDER BY {key}, next_key LIMIT %s",
            part,
            after,
        )
        names = [*table.key, "next_key"]
        statement = sql.SQL(
            "UPDATE {part} r SET {change} FROM unnest({arrays}) AS w({names}) WHERE {same} AND {where}"
        ).format(
            part=sql.Identifier(part),
            change=sql.SQL(change),
            arrays=sql.SQL(", ").join(sql.SQL(f"%s::{kind}[]") for kind in (*table.kinds, "bytea")),
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            same=sql.SQL(" AND ").join(
                sql.SQL("r.{0} = w.{0}").format(sql.Identifier(name)) for name in names
            ),
            where=sql.SQL(where),
        )
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
        return self._conn.execute(statement, columns).rowcount, _last(rows, len(names))

    def _rows(self, statement: LiteralString, part: str, after: Key | None) -> list[tuple[Any, ...]]:
        table = table_of(part)
        first = [*table.first, b""] if after is None else [*after[:-1], bytes.fromhex(after[-1])]
        query = sql.SQL(statement).format(
            part=sql.Identifier(part),
            key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
            needed=sql.SQL(", ").join(map(sql.Identifier, table.needed)),
            after=sql.SQL(", ").join([sql.SQL("%s")] * len(first)),
        )
        return self._conn.execute(query, [*first, BATCH]).fetchall()

    def _delete(self, part: str, key: Sequence[Any]) -> None:
        statement = sql.SQL("DELETE FROM {part} WHERE {same} AND free_at <= now()").format(
            part=sql.Identifier(part), same=_same(table_of(part))
        )
        self._conn.execute(statement, key)


def _same(table: HashedTable) -> sql.Composed:
    names = [*table.key, "caller_key"]
    return sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in names)


def _last(rows: list[tuple[Any, ...]], width: int) -> Key | None:
    if len(rows) < BATCH:
        return None
    *key, blind = rows[-1][:width]
    return [*key, blind.hex()]
