"""What the store holds of many (called, caller) pairs, in one round trip: for ``decide``.

The same answers as ``RouteReader``'s, for edges that wait with ``await``.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from qibai.core.numbering import Msisdn, Number700
from qibai.core.routing import Look, RouteRecord
from qibai.store.bindings.arrays import Blobs, Int2s, Int4s
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.hash_phase import keys_in_use
from qibai.store.keys import Keyring
from qibai.store.routes import FROM_GROUP, NO_MESSAGES, TO_GROUP
from qibai.store.statements import load

_SQL: Final = load("messages")
_EPOCH: Final = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
_MICROSECOND: Final = timedelta(microseconds=1)
_MAX_KEYS: Final = 2  #: under which rows can stand at a time


async def find_pairs(
    conn: Connection, keyring: Keyring, pairs: Sequence[tuple[Number700, Msisdn]], now: datetime | None = None
) -> list[Look]:
    """What is held of each pair, in order. Raise StoreUnavailable.

    ``now`` stands in for the database's clock in tests.
    """
    if not pairs:
        return []
    first, second = keyring.hash_ids
    asked = [first] if second is None else [first, second]
    found, wanted = await _find(conn, keyring, pairs, asked, now)
    while any(pair.record is None for pair in found) and not set(asked) >= set(wanted):
        keyring.reload_if_changed()  # "not bound" would be a lie: rows have other keys now
        asked = wanted
        missing = [place for place, pair in enumerate(found) if pair.record is None]
        again, wanted = await _find(conn, keyring, [pairs[place] for place in missing], asked, now)
        for place, pair in zip(missing, again, strict=True):
            found[place] = pair
    return found


async def _find(
    conn: Connection,
    keyring: Keyring,
    pairs: Sequence[tuple[Number700, Msisdn]],
    key_ids: list[int],
    now: datetime | None,
) -> tuple[list[Look], list[int]]:
    """What is held under these hash keys, and the ids of those under which rows stand just now."""
    keys = [[keyring.blind_by(id, caller) for _, caller in pairs] for id in key_ids[:_MAX_KEYS]]
    others: list[bytes | None] = [*keys[1]] if len(keys) > 1 else [None] * len(pairs)
    params = {
        "now": now,
        "codes": Int4s.of([called.code.value for called, _ in pairs]),
        "serials": Int2s.of([called.serial for called, _ in pairs]),
        "keys": Blobs.of_blobs(keys[0]),
        "others": Blobs.of_blobs(others),
    }
    with own_errors():
        cursor = await conn.execute(_SQL["find_pairs"], params, prepare=True, binary=True)
        rows = await cursor.fetchall()
    found = [Look(None, False, 0.0)] * len(pairs)
    for row in rows:
        place = row[0] - 1
        found[place] = _look(pairs[place][0], row)
    return found, keys_in_use(*rows[0][-3:])


def _look(called: Number700, row: tuple[Any, ...]) -> Look:
    _, binding_id, tenant_id, shown, flags, max_call_s, ends_at, callee, caller, in_use, standing, *rest = row
    if binding_id is None:
        return Look(None, in_use, time.time())
    record = RouteRecord(
        called=called,
        binding_id=binding_id,
        tenant_id=tenant_id,
        shown=Number700(called.code, shown),
        callee_sealed=callee,
        caller_sealed=caller,
        ends_at=_seconds(ends_at),
        max_call_s=max_call_s,
        to_group=bool(flags & TO_GROUP),
        from_group=bool(flags & FROM_GROUP),
        standing=standing,
        no_messages=bool(flags & NO_MESSAGES),
        read_at=_seconds(rest[0]),
    )
    return Look(record, False, record.read_at)


def _seconds(at: datetime) -> float:
    """As ``RouteReader`` counts them, to the last digit."""
    return (at - _EPOCH) // _MICROSECOND / 1_000_000 + _EPOCH.timestamp()
