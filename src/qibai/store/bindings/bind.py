"""Binding many items at once: one round trip and one commit for up to a thousand, an answer for each.

An item that fails never fails its neighbours: those are committed, it draws again or gets its error.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import errors

from qibai.core.errors import (
    BindingNotFound,
    IdempotencyMismatch,
    MiddleNumberAsParty,
    QibaiError,
    QuotaExceeded,
    StoreUnavailable,
)
from qibai.core.numbering import Code, Number700
from qibai.store import sqlstate
from qibai.store.bindings.allocate import Draft, Pool
from qibai.store.bindings.codeset import CodeSet, Entitlement
from qibai.store.bindings.model import Binding, BindItem, Bound
from qibai.store.bindings.query import get_many
from qibai.store.bindings.request import Batch, counted
from qibai.store.bindings.session import ATTEMPTS, Epoch, learn_epoch, likely_epoch
from qibai.store.codes import TenantCode
from qibai.store.connection import Connection
from qibai.store.existing.numbers import middle_numbers
from qibai.store.failures import UNAVAILABLE, own_errors
from qibai.store.keys import Keyring
from qibai.store.standing import read_version
from qibai.store.statements import load

CHUNK: Final = 1_000  # items in one commit
_BREATH: Final = 64  # items prepared before others on the event loop have their turn

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SQL: Final = load("bindings")
_RELOAD, _CONFLICT, _REPLAY, _MISMATCH, _DONE = range(5)
Result = Bound | QibaiError


async def bind_many(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    codes: Sequence[TenantCode] | Entitlement,
    items: Sequence[BindItem],
    *,
    now: datetime | None = None,
    quarantine: timedelta,
) -> list[Result]:
    """Bind each item and return its ``Bound``, or its error, at its place; what is returned is committed.

    ``conn`` is in autocommit mode, no transaction open. ``codes`` are the tenant's, or, in production, its
    entitlement: then nothing is bound that rules or quotas forbid at the moment of the commit. The database's
    clock decides; ``now`` stands in for that clock in tests. An item's
    error is PolicyRefused, QuotaExceeded, NoCodes, NoCodeForProvince, NumberNotOwned, NumberTaken,
    PoolExhausted, MiddleNumberAsParty or
    IdempotencyMismatch. Raise StoreUnavailable when the database did not answer (each item
    may have been bound or not); once some of a bulk are bound, this is the error of the other items instead.
    """
    binder = Binder(conn, keyring, tenant_id, codes, now=now, quarantine=quarantine)
    return await binder.run(items)


class Binder:
    """One call of ``bind_many``."""

    def __init__(
        self,
        conn: Connection,
        keyring: Keyring,
        tenant_id: int,
        codes: Sequence[TenantCode] | Entitlement,
        *,
        now: datetime | None,
        quarantine: timedelta,
    ) -> None:
        if not conn.autocommit:
            raise ValueError("bind_many commits by itself: the connection must be in autocommit mode")
        self._conn, self._keyring, self._tenant_id = conn, keyring, tenant_id
        self._entitlement = codes if isinstance(codes, Entitlement) else None
        self._pool = Pool(CodeSet([]) if isinstance(codes, Entitlement) else CodeSet.of(codes))
        self._now, self._quarantine = now, quarantine
        self._results: dict[int, Result] = {}
        self._again: list[Draft] = []
        self._conflicts: list[Draft] = []
        self._replays: dict[int, tuple[int, int]] = {}
        self._failures = 0
        self._stale: int | None = None  # this version of the rights is old
        self._epoch = likely_epoch(keyring)

    async def run(self, items: Sequence[BindItem]) -> list[Result]:
        pending = await self._admit([Draft(place, item) for place, item in enumerate(items)])
        while pending:
            await self._round(pending)
            pending = self._again + await self._after_conflicts()
            self._again = []
            if self._stale is not None:
                pending = await self._admit(pending)
        await self._read_replays()
        return [self._results[place] for place in range(len(items))]

    async def _admit(self, drafts: list[Draft]) -> list[Draft]:
        """Those that nothing stands against; the others have their error now."""
        if self._entitlement is not None:
            stale, self._stale = self._stale, None
            self._pool = Pool(await self._entitlement.codes(self._conn, self._now, not_version=stale))
        problems = [self._pool.check(draft.item) for draft in drafts]
        if self._entitlement is not None and any(problems):
            version = self._pool.codes.version
            if await read_version(self._conn) != version:  # what refuses may be over
                self._pool = Pool(await self._entitlement.codes(self._conn, self._now, not_version=version))
                problems = [self._pool.check(draft.item) for draft in drafts]
        if self._pool.codes.existing:
            middle = await self._middle(drafts)
            wrong = MiddleNumberAsParty("a party is a middle number itself")
            found = zip(drafts, problems, strict=True)
            problems = [problem or (wrong if draft in middle else None) for draft, problem in found]
        answers = list(zip(drafts, problems, strict=True))
        await self._refuse([(draft, problem) for draft, problem in answers if problem is not None])
        return [draft for draft, problem in answers if problem is None]

    async def _middle(self, drafts: Sequence[Draft]) -> set[Draft]:
        """Those of which a party is an old middle number that somebody is bound on."""
        parties = {draft: {*draft.item.parties.near, draft.item.parties.b} for draft in drafts}
        asked = sorted(set().union(*parties.values()))
        with own_errors():
            middle = await middle_numbers(self._conn, self._keyring, self._epoch.write, asked)
        return {draft for draft, own in parties.items() if not own.isdisjoint(middle)} if middle else set()

    async def _refuse(self, refusals: list[tuple[Draft, QibaiError]]) -> None:
        """Give each its error, unless the same request was granted earlier."""
        known = {}
        keys = [draft.item.idempotency.key for draft, _ in refusals if draft.item.idempotency is not None]
        if keys:
            cur = await self._conn.execute(_SQL["replays"], {"tenant": self._tenant_id, "keys": keys})
            known = {row[0]: row[1:] for row in await cur.fetchall()}
        for draft, problem in refusals:
            key = draft.item.idempotency
            earlier = known.get(key.key) if key is not None else None
            if key is None or earlier is None:
                self._results[draft.place] = problem
            elif earlier[0] == key.request:
                self._replays[draft.place] = earlier[1:]
            else:
                self._results[draft.place] = IdempotencyMismatch()

    async def _round(self, pending: list[Draft]) -> None:
        """Send all of ``pending``; while the database works on a chunk, the next one is prepared."""
        running: asyncio.Task[None] | None = None
        try:
            for start in range(0, len(pending), CHUNK):
                batch = await self._prepare(pending[start : start + CHUNK])
                self._again += batch.later
                self._conflicts += batch.blocked
                if running is not None:
                    await running
                running = asyncio.create_task(self._send(batch)) if len(pending) > CHUNK else None
                if running is None:
                    await self._send(batch)
            if running is not None:
                await running
        finally:
            if running is not None and not running.done():
                with contextlib.suppress(Exception):
                    await running

    async def _prepare(self, drafts: Sequence[Draft]) -> Batch:
        epoch = self._epoch
        batch = Batch(epoch, self._pool)
        for count, draft in enumerate(drafts, 1):
            if draft.blinded_by != epoch:
                draft.blind(self._keyring, epoch, self._tenant_id)
            batch.add(draft, self._keyring)
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        return batch

    def _give_up(self, batch: Batch, cause: psycopg.Error) -> None:
        """No answer for these. Raise StoreUnavailable unless others are bound already and need theirs."""
        if not any(isinstance(result, Bound) for result in self._results.values()):
            raise StoreUnavailable from cause
        for draft in batch.drafts:
            self._results[draft.place] = StoreUnavailable()

    async def _send(self, batch: Batch) -> None:
        if not batch.drafts:
            return
        try:
            rows = await self._execute(batch.parameters(self._tenant_id, self._now, self._quarantine))
        except (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation) as exc:
            self._failures += 1  # a race that an index other than the arbiter decided, or an id drawn twice
            if self._failures > ATTEMPTS:
                self._give_up(batch, exc)
            else:
                self._try_again(batch)
        except UNAVAILABLE as exc:
            self._give_up(batch, exc)
        except psycopg.Error as exc:
            if exc.sqlstate == sqlstate.STALE:
                self._stale = batch.version
                self._try_again(batch)
            elif exc.sqlstate == sqlstate.QUOTA:
                await self._fit(batch, exc.diag.message_detail or "")
            else:
                raise
        else:
            made = _UNIX_EPOCH  # of nothing: no item is bound unless the last row says when
            if rows[-1][0] == _DONE:
                made += timedelta(microseconds=rows.pop()[3])
            self._answer(batch, rows, made)
            if batch.counted and rows:
                await self._give_back(batch, rows)

    async def _execute(self, parameters: dict[str, Any]) -> list[Any]:
        cur = await self._conn.execute(_SQL["bind_many"], parameters, prepare=True, binary=True)
        return await cur.fetchall()

    async def _fit(self, batch: Batch, said: str) -> None:
        """A quota is exceeded: leave out what does not fit, and try the others again."""
        scene, province, left = said.split("|")
        over = set()
        room = int(left)
        for draft in batch.drafts:
            item = draft.item
            if scene in ("", item.scene.value) and province in ("", item.province):
                if room <= 0:
                    over.add(draft)
                room -= 1
        await self._refuse([(draft, QuotaExceeded()) for draft in over])
        batch.drafts = [draft for draft in batch.drafts if draft not in over]
        self._try_again(batch)

    async def _give_back(self, batch: Batch, rows: list[Any]) -> None:
        """Count no more what was not bound. If this is cut off, it counts until its end: never too little."""
        failed = {row[1] for row in rows}
        drafts = [draft for draft in batch.drafts if rows[0][0] == _RELOAD or draft.id in failed]
        with own_errors():
            parameters = {"tenant": self._tenant_id, **counted(drafts)}
            await self._conn.execute(_SQL["give_quota"], parameters, binary=True)

    def _try_again(self, batch: Batch) -> None:
        for draft in batch.drafts:
            draft.id = 0
        self._again += batch.drafts

    def _answer(self, batch: Batch, rows: list[Any], made: datetime) -> None:
        if rows and rows[0][0] == _RELOAD:
            self._epoch = learn_epoch(self._keyring, Epoch(rows[0][2], rows[0][3]))
            self._try_again(batch)
            return
        failed = {row[1]: row for row in rows}
        for draft in batch.drafts:
            row = failed.get(draft.id)
            if row is None:
                self._results[draft.place] = Bound(self._binding(draft, made))
            elif row[0] == _CONFLICT:
                self._conflicts.append(draft)
            elif row[0] == _REPLAY:
                self._replays[draft.place] = (row[2], row[3])
            else:
                self._results[draft.place] = IdempotencyMismatch()

    async def _after_conflicts(self) -> list[Draft]:
        """Those of the conflicting items that go on; the others have their error now."""
        left = []
        conflicts, self._conflicts = self._conflicts, []
        self._pool.forget()
        for draft in conflicts:
            with own_errors():
                problem = await self._pool.after_conflict(self._conn, draft, self._now)
            if problem is None:
                left.append(draft)
            else:
                self._results[draft.place] = problem
        return left

    async def _read_replays(self) -> None:
        if not self._replays:
            return
        found = await get_many(self._conn, self._keyring, self._tenant_id, list(self._replays.values()))
        for place, id in self._replays.items():
            binding = found.get(id)
            self._results[place] = BindingNotFound() if binding is None else Bound(binding, replayed=True)

    def _binding(self, draft: Draft, made: datetime) -> Binding:
        item = draft.item
        code = Code(draft.code)
        return Binding(
            code=draft.code,
            id=draft.id,
            tenant_id=self._tenant_id,
            mode=item.parties.mode,
            scene=item.scene,
            order_id=item.order_id,
            industrial_id=item.industrial_id,
            province=item.province,
            x=Number700(code, draft.x),
            y=None if draft.y is None else Number700(code, draft.y),
            max_call_s=item.max_call_s,
            messages=item.messages,
            created_at=made.astimezone(UTC),
            expires_at=item.expires_at.astimezone(UTC),
            released_at=None,
            source=item.parties,
        )
