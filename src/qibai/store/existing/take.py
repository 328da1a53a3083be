"""Taking over a batch of old bindings, their 700 bindings, and the note of it: one transaction.

Stopped anywhere, a batch is done whole or not at all; what was taken over before is found by its numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.errors import UniqueViolation

from qibai.core.errors import (
    Conflict,
    NoCodes,
    NumberTaken,
    PolicyRefused,
    PoolExhausted,
    QibaiError,
    QuotaExceeded,
    StoreUnavailable,
)
from qibai.core.oldfile import BadOldLine, OldLine
from qibai.core.oldfile.line import bad
from qibai.store.bindings import BindItem, Bound, Entitlement
from qibai.store.bindings.allocate import Draft
from qibai.store.bindings.arrays import Blobs, Int2s, Int4s, Int8s
from qibai.store.bindings.bind import Binder
from qibai.store.bindings.session import database_time, fetch_epoch, persist
from qibai.store.connection import Connection
from qibai.store.existing.draft import OldDraft, draft
from qibai.store.existing.known import Known, Moment, forget_free, known_pairs, with_middle_party
from qibai.store.existing.model import Counts, Migration, Terms
from qibai.store.existing.rows import copy_in, serial_of
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("migration")
#: What stands in the way of many lines: more numbers or rights are needed, then the batch is tried again.
_WANTING: Final = (NoCodes, PolicyRefused, PoolExhausted, QuotaExceeded)


class Wanting(NamedTuple):
    """Why many bindings could get no 700 number: an error's stable code and message."""

    code: str
    message: str


@dataclass(slots=True)
class Taken:
    """What became of a batch; ``wanting``: the first thing that stood in the way of many."""

    counts: Counts = field(default_factory=Counts)
    rejects: list[BadOldLine] = field(default_factory=list)
    wanting: Wanting | None = None
    open: bool = False  #: something is left that could still get a 700 number


class _InTransaction(Binder):
    """Binds within the transaction at hand: what fails undoes itself alone. Parties were looked at before."""

    async def _middle(self, drafts: Sequence[Draft]) -> set[Draft]:
        return set()

    async def _execute(self, parameters: dict[str, Any]) -> list[Any]:
        async with self._conn.transaction():
            return await super()._execute(parameters)


class Taker:
    """Takes over batches of one file. ``entitlement`` is the tenant's, as for any bind.

    ``first``: no old binding was there when the run began. Then none need be looked for, as of the file's own
    its check has left none that has a pair or number of another.
    """

    def __init__(
        self,
        keyring: Keyring,
        migration: Migration,
        entitlement: Entitlement,
        terms: Terms,
        *,
        first: bool = False,
    ) -> None:
        self._keyring, self._migration, self._first = keyring, migration, first
        self._entitlement, self._terms = entitlement, terms

    async def batch(self, conn: Connection, number: int, lines: Sequence[OldLine | BadOldLine]) -> Taken:
        """Take over the batch of that number, and note it; what is returned is committed.

        ``conn`` is in autocommit mode. Raise StoreUnavailable: then it is as if it had not begun.
        """
        return await persist(self._try, conn, number, lines)

    async def _try(self, conn: Connection, number: int, lines: Sequence[OldLine | BadOldLine]) -> Taken:
        try:
            return await self._batch(conn, number, lines)
        except UniqueViolation:  # a process of a run that was killed has still done its batch
            self._first = False
            raise

    async def _batch(self, conn: Connection, number: int, lines: Sequence[OldLine | BadOldLine]) -> Taken:
        taken = Taken()
        async with conn.transaction():
            epoch, by_next = await fetch_epoch(conn, self._keyring)
            now = await database_time(conn)
            lines = await self._unchecked(conn, lines, taken)
            moment = Moment(now, epoch, by_next)
            drafts = self._drafts(lines, moment, taken)
            drafts = await self._sort_out(conn, drafts, moment, taken)
            await self._bind(conn, drafts)
            await self._write(conn, drafts, moment)
            self._count(drafts, taken)
            await self._note(conn, number, taken)
        return taken

    async def _unchecked(
        self, conn: Connection, lines: Sequence[OldLine | BadOldLine], taken: Taken
    ) -> list[OldLine | BadOldLine]:
        """Those that the check of the whole file has left."""
        if not lines:
            return []
        span = {"id": self._migration.id, "first": lines[0].place, "last": lines[-1].place}
        await conn.execute(_SQL["forget_rejects"], span)
        cur = await conn.execute(_SQL["checked_rejects"], span)
        gone = {row[0] for row in await cur.fetchall()}
        taken.counts.rejected += len(gone)
        return [line for line in lines if line.place not in gone] if gone else list(lines)

    def _drafts(self, lines: Sequence[OldLine | BadOldLine], moment: Moment, taken: Taken) -> list[OldDraft]:
        drafts = []
        for line in lines:
            if isinstance(line, BadOldLine):
                taken.rejects.append(line)
                continue
            try:
                one = draft(line, self._terms, moment.now)
                one.blind(self._keyring, moment.epoch)
            except QibaiError as exc:
                taken.rejects.append(bad(line.place, line.number, exc))
                continue
            drafts.append(one)
        return drafts

    async def _sort_out(
        self, conn: Connection, drafts: list[OldDraft], moment: Moment, taken: Taken
    ) -> list[OldDraft]:
        """Those that are new, or were taken over before but have no 700 number."""
        if not drafts:
            return []
        if self._first:
            return drafts
        found = await known_pairs(conn, drafts, moment)
        parties = await with_middle_party(conn, self._keyring, drafts, moment)
        left: list[OldDraft] = []
        used: set[bytes] = set()
        over = False
        for one in drafts:
            there = found.get(one, [])
            rows = [row for row in there if row.free_at > moment.now]
            over = over or len(rows) < len(there)
            if one in parties:
                error: QibaiError = Conflict("one of its parties is an old middle number")
            elif not used.isdisjoint(one.keys):
                error = NumberTaken("another line of the file has its old number for one of its parties")
            elif not rows:
                used.update(one.keys)
                left.append(one)
                continue
            elif (same := self._same(one, rows, moment.now)) is None:
                error = NumberTaken("another binding holds its old number for one of its parties, or did")
            else:
                one.there, one.home, one.id = True, same.home, same.id
                used.update(one.keys)
                if same.moved or self._terms.old_only:
                    taken.counts.earlier += 1
                    taken.open = taken.open or (not same.moved and one.movable)
                else:
                    left.append(one)
                continue
            taken.rejects.append(bad(one.line.place, one.line.number, error))
        if over:
            await forget_free(conn, left, moment.now)
        return left

    def _same(self, one: OldDraft, rows: Sequence[Known], now: datetime) -> Known | None:
        """The binding that holds just the pairs of this one, when it is this one."""
        first = rows[0]
        same = len(rows) == len(one.pairs) and all(row.id == first.id for row in rows)
        if not same or first.tenant_id != self._migration.tenant_id or first.ends_at <= now:
            return None
        anyone = one.pairs[0].caller is None  # that pair does not say whom it reaches
        if anyone and self._keyring.open(first.numbers, first.aad) != one.line.parties.packed:
            return None
        return first

    async def _bind(self, conn: Connection, drafts: Sequence[OldDraft]) -> None:
        if self._terms.old_only:
            return
        wanted = [one for one in drafts if one.movable]
        if not wanted:
            return
        binder = _InTransaction(
            conn,
            self._keyring,
            self._migration.tenant_id,
            self._entitlement,
            now=None,
            quarantine=self._terms.quarantine,
        )
        items: list[BindItem] = [one.item(self._terms) for one in wanted]
        for one, result in zip(wanted, await binder.run(items), strict=True):
            if isinstance(result, Bound):
                one.new = result.binding
            elif isinstance(result, StoreUnavailable):
                raise result
            else:
                one.error = result

    async def _write(self, conn: Connection, drafts: Sequence[OldDraft], moment: Moment) -> None:
        fresh = [one for one in drafts if not one.there]
        for one in fresh:
            one.seal(self._keyring)
        if fresh:
            await copy_in(conn, self._migration.tenant_id, fresh, self._terms, moment.now)
        moved = [one for one in drafts if one.there and one.new is not None]
        if moved:
            await set_new(conn, moved, moment.by_next)

    def _count(self, drafts: Sequence[OldDraft], taken: Taken) -> None:
        counts = taken.counts
        for one in drafts:
            if one.new is not None:
                counts.moved += 1
                continue
            counts.kept += 1
            if one.error is not None:
                taken.rejects.append(bad(one.line.place, one.line.number, one.error))
                if isinstance(one.error, _WANTING):
                    taken.wanting = taken.wanting or Wanting(one.error.code, one.error.message)
            taken.open = taken.open or one.movable
        counts.rejected += sum(1 for _ in taken.rejects) - sum(1 for one in drafts if one.error is not None)

    async def _note(self, conn: Connection, number: int, taken: Taken) -> None:
        counts, id = taken.counts, self._migration.id
        await conn.execute(
            _SQL["note_batch"],
            {
                "id": id,
                "number": number,
                "moved": counts.moved,
                "kept": counts.kept,
                "earlier": counts.earlier,
                "rejected": counts.rejected,
                "done": not taken.open,
            },
        )
        await note_rejects(conn, id, taken.rejects, checked=False)


async def note_rejects(
    conn: Connection, migration_id: int, rejects: Sequence[BadOldLine], *, checked: bool
) -> None:
    """Keep what was not taken, and why."""
    if not rejects:
        return
    await conn.execute(
        _SQL["note_rejects"],
        {
            "id": migration_id,
            "places": [one.place for one in rejects],
            "lines": [one.number for one in rejects],
            "codes": [one.code for one in rejects],
            "reasons": [one.reason for one in rejects],
            "checked": checked,
        },
    )


async def set_new(conn: Connection, drafts: Sequence[OldDraft], by_next: bool) -> None:
    """Old bindings that were there have got their 700 bindings."""
    news = [one.new for one in drafts if one.new is not None]
    pairs = [(one, place) for one in drafts for place in range(len(one.pairs))]
    await conn.execute(
        _SQL["set_new"],
        {
            "homes": Int4s.of([one.home for one in drafts]),
            "ids": Int8s.of([one.id for one in drafts]),
            "codes": Int4s.of([new.code for new in news]),
            "new_ids": Int8s.of([new.id for new in news]),
            "route_codes": Int4s.of([one.pairs[place].dialled.code.value for one, place in pairs]),
            "keys": Blobs.of_blobs([one.keys[place] for one, place in pairs]),
            "route_new": Int4s.of([one.new.code if one.new else 0 for one, _ in pairs]),
            "route_ids": Int8s.of([one.new.id if one.new else 0 for one, _ in pairs]),
            "serials": Int2s.of([serial_of(one, place) for one, place in pairs]),
            "by_next": by_next,
        },
        binary=True,
    )
