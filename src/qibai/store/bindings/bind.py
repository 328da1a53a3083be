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

from qibai.core.errors import BindingNotFound, IdempotencyMismatch, QibaiError, StoreUnavailable
from qibai.core.numbering import Code, Number700
from qibai.store.bindings.allocate import Draft, Pool
from qibai.store.bindings.model import Binding, BindItem, Bound
from qibai.store.bindings.query import get_many
from qibai.store.bindings.request import STATEMENT, Batch
from qibai.store.bindings.session import ATTEMPTS, Connection, Epoch, learn_epoch, likely_epoch
from qibai.store.codes import TenantCode
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring

CHUNK: Final = 1_000  # items in one commit
_BREATH: Final = 64  # items prepared before others on the event loop have their turn

_RELOAD, _CONFLICT, _REPLAY, _MISMATCH = range(4)
Result = Bound | QibaiError


async def bind_many(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    codes: Sequence[TenantCode],
    items: Sequence[BindItem],
    *,
    now: datetime,
    quarantine: timedelta,
) -> list[Result]:
    """Bind each item and return its ``Bound``, or its error, at its place; what is returned is committed.

    ``conn`` is in autocommit mode, no transaction open; ``codes`` are the tenant's. An item's error is
    NoCodes, NoCodeForProvince, NumberNotOwned, NumberTaken, PoolExhausted or IdempotencyMismatch. Raise
    StoreUnavailable when the database did not answer (each item may have been bound or not); once some of a
    bulk are bound, this is the error of the other items instead.
    """
    binder = _Binder(conn, keyring, tenant_id, Pool(codes), now=now, quarantine=quarantine)
    return await binder.run(items)


class _Binder:
    """One call of ``bind_many``."""

    def __init__(
        self,
        conn: Connection,
        keyring: Keyring,
        tenant_id: int,
        pool: Pool,
        *,
        now: datetime,
        quarantine: timedelta,
    ) -> None:
        if not conn.autocommit:
            raise ValueError("bind_many commits by itself: the connection must be in autocommit mode")
        self._conn, self._keyring, self._tenant_id, self._pool = conn, keyring, tenant_id, pool
        self._now, self._quarantine = now, quarantine
        self._results: dict[int, Result] = {}
        self._again: list[Draft] = []
        self._conflicts: list[Draft] = []
        self._replays: dict[int, tuple[int, int]] = {}
        self._failures = 0
        self._epoch = likely_epoch(keyring)

    async def run(self, items: Sequence[BindItem]) -> list[Result]:
        pending = []
        for place, item in enumerate(items):
            problem = self._pool.check(item)
            if problem is not None:
                self._results[place] = problem
            else:
                pending.append(Draft(place, item))
        while pending:
            await self._round(pending)
            pending = self._again + await self._after_conflicts()
            self._again = []
        await self._read_replays()
        return [self._results[place] for place in range(len(items))]

    async def _round(self, pending: list[Draft]) -> None:
        """Send all of ``pending``; while the database works on a chunk, the next one is prepared."""
        running: asyncio.Task[None] | None = None
        try:
            for start in range(0, len(pending), CHUNK):
                batch = await self._prepare(pending[start : start + CHUNK])
                self._again += batch.later
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

    async def _send(self, batch: Batch) -> None:
        if not batch.drafts:
            return
        parameters = batch.parameters(self._tenant_id, self._now, self._quarantine)
        try:
            cur = await self._conn.execute(STATEMENT, parameters, prepare=True, binary=True)
            rows = await cur.fetchall()
        except (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation):
            self._failures += 1  # a race that an index other than the arbiter decided, or an id drawn twice
            if self._failures > ATTEMPTS:
                raise
            self._try_again(batch)
        except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
            if not any(isinstance(result, Bound) for result in self._results.values()):
                raise StoreUnavailable from exc
            for draft in batch.drafts:
                self._results[draft.place] = StoreUnavailable()
        else:
            self._answer(batch, rows)

    def _try_again(self, batch: Batch) -> None:
        for draft in batch.drafts:
            draft.id = 0
        self._again += batch.drafts

    def _answer(self, batch: Batch, rows: list[Any]) -> None:
        if rows and rows[0][0] == _RELOAD:
            self._epoch = learn_epoch(self._keyring, Epoch(rows[0][2], rows[0][3]))
            self._try_again(batch)
            return
        failed = {row[1]: row for row in rows}
        for draft in batch.drafts:
            row = failed.get(draft.id)
            if row is None:
                self._results[draft.place] = Bound(self._binding(draft))
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

    def _binding(self, draft: Draft) -> Binding:
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
            created_at=self._now.astimezone(UTC),
            expires_at=item.expires_at.astimezone(UTC),
            released_at=None,
            source=item.parties,
        )
