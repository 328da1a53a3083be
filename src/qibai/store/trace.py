"""Tracing (溯源): from a 700 number and a time to the binding, its order, tenant and application platform.

What has ended is found as long as it is kept (``[retention]``).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.rows import class_row

from qibai.core.errors import BindingNotFound, CallNotFound
from qibai.core.numbering import Msisdn, Number700
from qibai.store.bindings import Binding
from qibai.store.bindings.query import from_row
from qibai.store.calls import CallRecord
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

MOST: Final = 100  #: bindings that one trace answers with
_SQL: Final = load("trace")
_ID_BITS: Final = 21  #: of a row's id are random, those above are milliseconds
_SLACK_MS: Final = 3_600_000  #: ids and times may come from clocks that differ
_LONGEST_CALL: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Traced:
    """A binding that held the number then, whose it was, and its calls in that time, the latest first."""

    binding: Binding
    tenant: str | None
    platform: str | None
    calls: list[CallRecord] = field(default_factory=list)


async def trace(
    conn: Connection,
    keyring: Keyring,
    number: Number700,
    at: datetime,
    *,
    party: Msisdn | None = None,
    window: timedelta = timedelta(minutes=5),
) -> list[Traced]:
    """Bindings that held ``number`` (as X or Y) at ``at``, give or take ``window``: those with calls first.

    ``party``: only those that this real number is, or in a call then was, a party of. At most ``MOST`` and
    one more. Reads all bindings of the number's code up to then: a second or so for each million of them.
    Raise StoreUnavailable, SealBroken.
    """
    since, until = at - window, at + window
    place = {"code": number.code.value, "serial": number.serial, "since": since, "until": until}
    before = _first_id(until) + (_SLACK_MS << _ID_BITS)
    after = _first_id(since - _LONGEST_CALL)
    with own_errors():
        found = await (await conn.execute(_SQL["bindings_at"], place | {"before": before})).fetchall()
        async with conn.cursor(row_factory=class_row(CallRecord)) as cur:
            await cur.execute(_SQL["calls_at"], place | {"before": before, "after": after})
            calls: dict[int | None, list[CallRecord]] = defaultdict(list)
            for call in await cur.fetchall():
                calls[call.binding_id].append(call)
    traced = [
        Traced(from_row(row[:-2], keyring), row[-2], row[-1], calls.get(row[1], []))
        for row in found
        if party is None or _is_of(party, row, calls.get(row[1], []), keyring)
    ]
    traced.sort(key=lambda one: not one.calls)
    return traced[: MOST + 1]


async def unbound(
    conn: Connection, number: Number700, at: datetime, *, window: timedelta = timedelta(minutes=5)
) -> list[CallRecord]:
    """Calls to ``number`` then that belong to no binding, and so were refused: the latest, at most ``MOST``.

    Raise StoreUnavailable.
    """
    since, until = at - window, at + window
    params = {
        "code": number.code.value,
        "serial": number.serial,
        "since": since,
        "until": until,
        "before": _first_id(until) + (_SLACK_MS << _ID_BITS),
        "after": _first_id(since) - (_SLACK_MS << _ID_BITS),
        "limit": MOST,
    }
    with own_errors():
        async with conn.cursor(row_factory=class_row(CallRecord)) as cursor:
            await cursor.execute(_SQL["unbound_at"], params)
            return await cursor.fetchall()


async def binding_of(conn: Connection, keyring: Keyring, code: int, id: int) -> Binding:
    """Whosever binding it is, and whether or not it is over. Raise BindingNotFound."""
    with own_errors():
        row = await (await conn.execute(_SQL["binding"], {"code": code, "id": id})).fetchone()
    if row is None:
        raise BindingNotFound("there is no such binding, or it is no longer kept")
    return from_row(row, keyring)


async def call_of(conn: Connection, code: int, id: int) -> CallRecord:
    """The record of anybody's call, with its parties as they were then. Raise CallNotFound."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(CallRecord)) as cur:
            await cur.execute(_SQL["call"], {"code": code, "id": id})
            found = await cur.fetchone()
    if found is None:
        raise CallNotFound("there is no such call, or it is no longer kept")
    return found


def _is_of(party: Msisdn, row: Sequence[Any], calls: Sequence[CallRecord], keyring: Keyring) -> bool:
    parties = from_row(row[:-2], keyring).parties
    return party in (*parties.near, parties.b) or any(party in call.opened(keyring) for call in calls)


def _first_id(at: datetime) -> int:
    """The smallest id that a row of that time can have."""
    return max(0, int(at.timestamp() * 1000)) << _ID_BITS
