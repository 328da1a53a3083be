"""Whether the audit trail is whole: every entry against its seal, the head and all anchors."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
from typing import Final

from psycopg.rows import class_row

from qibai.core import trail
from qibai.core.errors import AuditBroken
from qibai.core.roles import Action
from qibai.core.trail import Entry, Point
from qibai.store import anchors as anchor_file
from qibai.store.anchors import Witness
from qibai.store.audit_seals import Head, Row
from qibai.store.connection import SyncConnection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("audit")
_BATCH: Final = 1_000


def entries(conn: SyncConnection) -> Generator[Row]:
    """All entries in order, read in batches. Raise StoreUnavailable."""
    with own_errors(), conn.transaction(), conn.cursor("audit", row_factory=class_row(Row)) as cur:
        cur.itersize = _BATCH
        cur.execute(_SQL["entries"])
        yield from cur


def read_head(conn: SyncConnection) -> Head:
    """Where the trail ends, as the database says. Raise AuditBroken, StoreUnavailable."""
    with own_errors(), conn.cursor(row_factory=class_row(Head)) as cur:
        found = cur.execute(_SQL["head"]).fetchone()
    if found is None:
        raise AuditBroken(0, "the trail's head is gone")
    return found


def sealed_head(conn: SyncConnection, keyring: Keyring) -> Point:
    """Where the chain has to end. Raise KeyUnknown; AuditBroken when it was not written with our keys."""
    return _believed(read_head(conn), keyring)


def note_restores(conn: SyncConnection, keyring: Keyring, path: Path) -> None:
    """Let the anchors at ``path`` know of the restores that the trail has: the trail before each was another.

    Only an entry with our seal counts. Raise AuditBroken when the file is damaged, StoreUnavailable.
    """
    with own_errors(), conn.transaction(), conn.cursor(row_factory=class_row(Row)) as cur:
        restores = cur.execute(_SQL["restores"], {"action": Action.BACKUP_RESTORE.value}).fetchall()
    for row in restores:
        if row.sealed(keyring) and row.digest == row.hash:
            with suppress(OSError):  # where it cannot be written, the anchors say that the trail was put back
                anchor_file.note_restore(path, Point(row.seq, row.hash))


def verify(
    conn: SyncConnection, keyring: Keyring, anchors: Iterable[Point] = (), witness: Witness | None = None
) -> Point:
    """Read the whole trail and check it against its seals, its head and ``anchors``.

    ``witness``: this node's file of anchors, which has to fit as well and to have all that this node did.
    Returns where the trail ends. Raise AuditBroken, naming the first bad entry, KeyUnknown, StoreUnavailable.
    """
    known = list(anchors)
    if witness is not None:
        note_restores(conn, keyring, witness.path)
        known += anchor_file.read(witness.path)  # before the snapshot: none is of a later act
    with own_errors(), conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        head = read_head(conn)
        head.require_key(keyring)
        unsealed: AuditBroken | None = None
        try:
            known.append(_believed(head, keyring))
        except AuditBroken as exc:
            unsealed = exc  # what is wrong with the entries themselves says more
        look = _Look(head, keyring, witness)
        last = Point(0, trail.START)
        with closing(entries(conn)) as found:
            in_order = sorted(set(known), key=lambda point: point.seq)
            for entry in trail.check(look.chain(found), in_order):
                last = Point(entry.seq, entry.hash)
    if unsealed is not None:
        raise unsealed
    if look.broken is not None:
        raise look.broken
    return last


class _Look:
    """Tells the chain from what was put beside it."""

    def __init__(self, head: Head, keyring: Keyring, witness: Witness | None) -> None:
        """To be made after the snapshot: what is in the snapshot was anchored before."""
        self._head, self._keyring, self._witness = head, keyring, witness
        self._anchored = {} if witness is None else anchor_file.noted(witness.path)
        self.broken: AuditBroken | None = None

    def chain(self, rows: Iterator[Row]) -> Iterator[Entry]:
        """Entries with our seal, and those that are older than seals. Raise AuditBroken."""
        for seq, group in groupby(rows, key=lambda row: row.seq):
            if seq <= self._head.sealed_from:
                yield from group
                continue
            ours, forged = [], 0
            for row in group:
                if row.sealed(self._keyring):
                    ours.append(row)
                else:
                    forged += 1
            if len(ours) > 1:
                raise AuditBroken(seq, f"entry {seq} was written twice: an old head was put back in between")
            if forged and not ours and seq <= self._head.seq:
                raise AuditBroken(seq, f"entry {seq} was changed or forged: it has no seal of this key file")
            if forged:
                self._note(seq, f"entry {seq} is forged: one that has no seal of this key file stands there")
            if ours and seq > self._head.seq and (self._head.new or self._head.sealed(self._keyring)):
                raise AuditBroken(
                    seq, f"entry {seq} stands behind the head, which is at {self._head.seq}: it was put back"
                )
            for row in ours:
                self._anchor(row)
                yield row

    def _anchor(self, row: Row) -> None:
        if self._witness is None or row.node != self._witness.node:
            return
        if row.hash not in self._anchored.get(row.seq, ()):
            path = self._witness.path
            what = "was shortened or changed" if self._anchored else "is missing or empty"
            self._note(row.seq, f"entry {row.seq} has no anchor here: {path} {what}; put its copy back")

    def _note(self, seq: int, says: str) -> None:
        if self.broken is None:
            self.broken = AuditBroken(seq, says)


def _believed(head: Head, keyring: Keyring) -> Point:
    head.require_key(keyring)
    if not head.new and not head.sealed(keyring):
        raise AuditBroken(head.seq, f"the trail's head (entry {head.seq}) was not sealed with this key file")
    return head.point
