"""Move all routes to a new blind index while calls and bindings go on; see ``rotate_hash``.

The phases are described in the schema, at ``hash_rotation``. A phase begins only when every row is ready for
it and no writer of the phase before is still at work.
"""

from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from qibai.core.errors import SealBroken
from qibai.core.numbering import Msisdn
from qibai.store import keyfile
from qibai.store.crypto import HASH_KEY_BYTES, binding_aad
from qibai.store.keyfile import KeyFile
from qibai.store.keys import Keyring
from qibai.store.rotating import BATCH, Batch, Key, Progress, Rotation, no_progress, partitions, rotating

PHASE_LOCK: Final = 7_001  # route_epoch() takes it shared
_FIRST: Final[Key] = [-(2**31), -(2**15), ""]


def rotate_hash(dsn: str, keyring: Keyring, progress: Progress = no_progress) -> int:
    """Make a new hash key, move all routes to it, and return its id; go on with an interrupted rotation.

    Raise Conflict, StoreUnavailable, KeyFileError, or SealBroken when a live route's caller cannot be read;
    then nothing is lost, and the command can be run again once the row or the key file is mended.
    """
    with rotating(dsn, progress) as rotation:
        work = _Rehashing(rotation, keyring)
        phase, current, following = work.state()
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
        row = self._conn.execute(
            "SELECT phase, current_id, coalesce(next_id, 0) FROM hash_rotation"
        ).fetchone()
        if row is None:
            raise psycopg.errors.UndefinedTable
        phase, current, following = row
        return phase, current, following

    def next_key(self) -> int:
        """The key file's next hash key, made now unless an interrupted run has made it."""

        def change(content: KeyFile) -> None:
            if content.hash.next is None:
                content.hash.next = keyfile.add_key(content.hash, HASH_KEY_BYTES)

        content = keyfile.update(self._keyring.path, change)
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
                self._conn.execute(
                    "UPDATE hash_rotation SET phase = %s, current_id = %s, next_id = %s",
                    [phase, current, following],
                )

        self._rotation.retry(change)

    def through(self, job: str, batch: Batch, left: LiteralString) -> None:
        """Run a step until no row is ``left``: the next phase must find every row ready."""
        while True:
            self._rotation.run(job, partitions("route"), batch)
            query = sql.SQL("SELECT EXISTS (SELECT FROM route WHERE {})").format(sql.SQL(left))
            if self._conn.execute(query).fetchone() == (False,):
                return
            self._rotation.forget(job)

    def fill(self, part: str, after: Key | None) -> tuple[int, Key | None]:
        """Phase 1: give next_key to rows that were written before it."""
        rows = self._rows(
            "SELECT code, serial, caller_key, binding_id, caller, free_at <= now() FROM {part}"
            " WHERE (code, serial, caller_key) > (%s, %s, %s) AND next_key IS NULL"
            " ORDER BY code, serial, caller_key LIMIT %s",
            part,
            after,
        )
        _, _, following = self.state()
        changes = []
        for code, serial, caller_key, binding_id, caller, free in rows:
            try:
                msisdn = Msisdn(self._keyring.open(caller, binding_aad(code, binding_id)))
            except SealBroken:
                if not free:
                    raise
                self._delete(part, code, serial, caller_key)
                continue
            changes.append([self._keyring.blind_by(following, msisdn), code, serial, caller_key, binding_id])
        if changes:
            statement = sql.SQL(
                "UPDATE {part} SET next_key = %s"
                " WHERE code = %s AND serial = %s AND caller_key = %s AND binding_id = %s"
                " AND next_key IS NULL"
            ).format(part=sql.Identifier(part))
            with self._conn.cursor() as cur:
                cur.executemany(statement, changes)
        return len(changes), _last(rows)

    def switch(self, part: str, after: Key | None) -> tuple[int, Key | None]:
        """Phase 2: caller_key becomes next_key; walked by next_key, which stays."""
        return self._walk_next(part, after, "caller_key = next_key", "r.caller_key <> r.next_key")

    def clean(self, part: str, after: Key | None) -> tuple[int, Key | None]:
        """Phase 3: next_key has served."""
        return self._walk_next(part, after, "next_key = NULL", "true")

    def _walk_next(
        self, part: str, after: Key | None, change: LiteralString, where: LiteralString
    ) -> tuple[int, Key | None]:
        rows = self._rows(
            "SELECT code, serial, next_key FROM {part}"
            " WHERE (code, serial, next_key) > (%s, %s, %s) AND next_key IS NOT NULL"
            " ORDER BY code, serial, next_key LIMIT %s",
            part,
            after,
        )
        statement = sql.SQL(
            "UPDATE {part} r SET {change}"
            " FROM unnest(%s::integer[], %s::smallint[], %s::bytea[]) AS w(code, serial, key)"
            " WHERE r.code = w.code AND r.serial = w.serial AND r.next_key = w.key AND {where}"
        ).format(part=sql.Identifier(part), change=sql.SQL(change), where=sql.SQL(where))
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        return self._conn.execute(statement, columns).rowcount, _last(rows)

    def _rows(self, statement: LiteralString, part: str, after: Key | None) -> list[tuple[Any, ...]]:
        code, serial, key = after or _FIRST
        query = sql.SQL(statement).format(part=sql.Identifier(part))
        return self._conn.execute(query, [code, serial, bytes.fromhex(key), BATCH]).fetchall()

    def _delete(self, part: str, code: int, serial: int, caller_key: bytes) -> None:
        statement = sql.SQL(
            "DELETE FROM {part} WHERE code = %s AND serial = %s AND caller_key = %s AND free_at <= now()"
        ).format(part=sql.Identifier(part))
        self._conn.execute(statement, [code, serial, caller_key])


def _last(rows: list[tuple[Any, ...]]) -> Key | None:
    if len(rows) < BATCH:
        return None
    code, serial, key = rows[-1][:3]
    return [code, serial, key.hex()]
