"""Ending bindings: two round trips for any number of them, all alike, however often they are asked for."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from qibai.core.binding import Status
from qibai.core.errors import BindingNotFound, QibaiError, StoreUnavailable
from qibai.store import sqlstate
from qibai.store.bindings.arrays import Blobs, Int2s, Int4s, Int8s, Texts, literal
from qibai.store.bindings.model import Binding, Released
from qibai.store.bindings.query import get_many
from qibai.store.bindings.session import ATTEMPTS, Epoch, fetch_epoch, likely_epoch, persist
from qibai.store.connection import Connection
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("bindings")
_RELOAD: Final = 0  # outcomes of the database's release_many
_EXPIRED: Final = 3
CHUNK: Final = 1_000

BindingId = tuple[int, int]  #: code, id


async def release_many(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    ids: Sequence[BindingId],
    *,
    now: datetime | None = None,
    quarantine: timedelta,
) -> list[Released | QibaiError]:
    """End each binding now; its pairs go into quarantine. Per item: when it ended, or BindingNotFound.

    "Now" is the database's clock once the bindings are held; ``now`` stands in for that clock in tests. A
    binding that was released before keeps the time of then, an expired one its expiry. What is returned is
    committed; ``conn`` is in autocommit mode. Raise StoreUnavailable.
    """
    results: list[Released | QibaiError] = []
    for start in range(0, len(ids), CHUNK):
        results += await _release(
            conn, keyring, tenant_id, ids[start : start + CHUNK], now=now, quarantine=quarantine
        )
    return results


async def release(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    code: int,
    id: int,
    *,
    now: datetime | None = None,
    quarantine: timedelta,
) -> Released:
    """End one binding, see ``release_many``. Raise BindingNotFound, StoreUnavailable."""
    result = (await release_many(conn, keyring, tenant_id, [(code, id)], now=now, quarantine=quarantine))[0]
    if isinstance(result, QibaiError):
        raise result
    return result


async def _release(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    ids: Sequence[BindingId],
    *,
    now: datetime | None,
    quarantine: timedelta,
) -> list[Released | QibaiError]:
    for _ in range(ATTEMPTS):
        found = await get_many(conn, keyring, tenant_id, sorted(set(ids)))
        answers = {
            id: Released(*id, Status.RELEASED, row.released_at)
            for id, row in found.items()
            if row.released_at is not None
        }
        left = {id: row for id, row in found.items() if row.released_at is None}
        ended = (
            await persist(end_many, conn, keyring, tenant_id, left, now=now, quarantine=quarantine)
            if left
            else {}
        )
        if ended is not None:
            answers |= ended
            return [answers.get(id) or BindingNotFound() for id in ids]
    raise StoreUnavailable("these bindings keep changing; try again")


async def end_many(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    bindings: dict[BindingId, Binding],
    *,
    now: datetime | None,
    quarantine: timedelta,
) -> dict[BindingId, Released] | None:
    """End those that are live once all are held; None when they must be read again."""
    epoch = likely_epoch(keyring)
    params = _parameters(keyring, epoch, bindings)
    params |= {"now": now, "quarantine": quarantine, "tenant": tenant_id}
    params |= {"write": epoch.write, "extra": epoch.extra}
    try:
        cur = await conn.execute(_SQL["release_many"], params, prepare=True, binary=True)
        (outcome, _, _, at), *over = await cur.fetchall()
    except psycopg.Error as exc:
        if exc.sqlstate == sqlstate.CHANGED:
            return None
        raise
    if outcome == _RELOAD:
        await fetch_epoch(conn, keyring)
        return None
    answers = {id: Released(*id, Status.RELEASED, at.astimezone(UTC)) for id in bindings}
    for outcome, code, id, at in over:
        status = Status.EXPIRED if outcome == _EXPIRED else Status.RELEASED
        answers[code, id] = Released(code, id, status, at.astimezone(UTC))
    return answers


def _parameters(keyring: Keyring, epoch: Epoch, active: dict[BindingId, Binding]) -> dict[str, Any]:
    bindings = [active[id] for id in sorted(active)]
    near = [len(binding.parties.near) for binding in bindings]
    routes = [
        (binding.code, number.serial, epoch.keys(keyring, caller)[0], binding.id)
        for binding in bindings
        for number, caller in binding.pairs()
    ]
    routes.sort()
    sealed = [binding.sealed for binding in bindings]
    return {
        "codes": Int4s.of([binding.code for binding in bindings]),
        "ids": Int8s.of([binding.id for binding in bindings]),
        "near": Int4s.of(near),
        "a": Blobs.of_blobs([one.a for one in sealed]),
        "b": Blobs.of_blobs([one.b for one in sealed]),
        "members": Texts.of_strings([literal(one.members) if one.members else None for one in sealed]),
        "route_codes": Int4s.of([row[0] for row in routes]),
        "route_serials": Int2s.of([row[1] for row in routes]),
        "route_keys": Blobs.of_blobs([row[2] for row in routes]),
        "route_ids": Int8s.of([row[3] for row in routes]),
    }
