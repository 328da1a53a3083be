"""Reading bindings: one, many, a page, all of a number."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from qibai.core.binding import Messages, Mode, Scene, Status
from qibai.core.errors import BadRequest, BindingNotFound
from qibai.core.ids import format_id, parse_id
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.store.bindings.arrays import Int4s, Int8s
from qibai.store.bindings.model import Binding, NumberPair, Page, Sealed
from qibai.store.bindings.session import database_time
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring, binding_aad
from qibai.store.routes import TO_GROUP
from qibai.store.statements import load

_SQL: Final = load("bindings")
MAX_PAGE: Final = 1_000
_CHANGE_LASTS: Final = timedelta(minutes=2)  #: longer than any transaction of ours


def from_row(row: Sequence[Any], keyring: Keyring) -> Binding:
    """A binding from the columns that the statements of bindings.sql select."""
    code = Code(row[0])
    released_at = row[16]
    return Binding(
        code=row[0],
        id=row[1],
        tenant_id=row[2],
        mode=Mode(row[3]),
        scene=Scene(row[4]),
        order_id=row[5],
        industrial_id=row[6],
        province=row[7],
        x=code.number(row[8]),
        y=None if row[9] is None else code.number(row[9]),
        source=Sealed(row[10], tuple(row[12] or ()), row[11], keyring),
        max_call_s=row[13],
        messages=Messages(row[17]),
        created_at=row[14].astimezone(UTC),
        expires_at=row[15].astimezone(UTC),
        released_at=None if released_at is None else released_at.astimezone(UTC),
    )


async def get_many(
    conn: Connection, keyring: Keyring, tenant_id: int, ids: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], Binding]:
    """Those of the bindings (code, id) that exist and are the tenant's."""
    params = {
        "tenant": tenant_id,
        "codes": Int4s.of([code for code, _ in ids]),
        "ids": Int8s.of([id for _, id in ids]),
    }
    with own_errors():
        cur = await conn.execute(_SQL["by_id"], params, prepare=True, binary=True)
        rows = await cur.fetchall()
    return {(row[0], row[1]): from_row(row, keyring) for row in rows}


async def get(conn: Connection, keyring: Keyring, tenant_id: int, code: int, id: int) -> Binding:
    """The tenant's binding. Raise BindingNotFound, StoreUnavailable."""
    found = await get_many(conn, keyring, tenant_id, [(code, id)])
    if not found:
        raise BindingNotFound
    return found[code, id]


async def read(
    conn: Connection, keyring: Keyring, tenant_id: int, code: int, id: int
) -> tuple[Binding, datetime]:
    """One binding, and the time by the database's clock at which it is so. Raise as ``get``.

    A binding that has only just expired may be held by somebody who prolongs it and has not committed: this
    waits for them, so that whoever reads "expired" never reads "active" later.
    """
    binding = await get(conn, keyring, tenant_id, code, id)
    (binding,), now = await settled(conn, keyring, tenant_id, [binding])
    return binding, now


async def settled(
    conn: Connection, keyring: Keyring, tenant_id: int, rows: Sequence[Binding]
) -> tuple[list[Binding], datetime]:
    """Bindings that were read just now, and the time at which they are so. Raise as ``get``; see ``read``."""
    now = await database_time(conn)
    found = list(rows)
    for place, binding in enumerate(found):
        if binding.released_at is None and now - _CHANGE_LASTS < binding.expires_at <= now:
            with own_errors():
                await conn.execute(_SQL["settle"], {"code": binding.code, "id": binding.id})
            found[place] = await get(conn, keyring, tenant_id, binding.code, binding.id)
    return found, now


async def list_bindings(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    now: datetime,
    *,
    status: Status | None = None,
    order_id: str | None = None,
    number: Number700 | None = None,
    mode: Mode | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page:
    """A page of the tenant's bindings, newest first; ``number`` is X or Y.

    Raise BadRequest when ``cursor`` is none of ours, StoreUnavailable.
    """
    limit = max(1, min(limit, MAX_PAGE))
    after: tuple[int, int] | None = None
    if cursor is not None:
        after = parse_id("b", cursor)
        if after is None:
            raise BadRequest("invalid cursor: use the `next` value of an earlier page", field="cursor")
    params: dict[str, Any] = {"tenant": tenant_id, "limit": limit + 1}
    where = []
    if after is not None:
        where.append("after")
        params |= {"cursor_id": after[1], "cursor_code": after[0]}
    if order_id is not None:
        where.append("order")
        params["order_id"] = order_id
    if number is not None:
        where.append("number")
        params |= {"code": number.code.value, "serial": number.serial}
    if mode is not None:
        where.append("mode")
        params["mode"] = mode.value
    if status is not None:
        where.append(status.value)
        params["now"] = now
    conditions = b"".join(b" AND " + _SQL["where_" + name] for name in where)
    with own_errors():
        cur = await conn.execute(_SQL["page"].replace(b"/*filters*/", conditions), params, binary=True)
        rows = await cur.fetchall()
    bindings = [from_row(row, keyring) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(bindings, format_id("b", bindings[-1].code, bindings[-1].id) if more else None)


async def bindings_of_number(
    conn: Connection, keyring: Keyring, number: Number700, now: datetime
) -> list[Binding]:
    """Whoever's bindings hold ``number`` now or still keep a pair of it in quarantine, newest first."""
    params = {"code": number.code.value, "serial": number.serial, "now": now}
    with own_errors():
        cur = await conn.execute(_SQL["of_number"], params, binary=True)
        return [from_row(row, keyring) for row in await cur.fetchall()]


async def explain_number(
    conn: Connection, keyring: Keyring, number: Number700, now: datetime
) -> list[NumberPair]:
    """Every pair of ``number`` that is live or in quarantine, the longest-lived first."""
    params = {"code": number.code.value, "serial": number.serial, "now": now}
    with own_errors():
        cur = await conn.execute(_SQL["pairs_of_number"], params, binary=True)
        rows = await cur.fetchall()
    pairs = []
    for id, shown, flags, ends_at, free_at, callee, caller in rows:
        aad = binding_aad(number.code.value, id)
        pairs.append(
            NumberPair(
                dialled=number,
                caller=Msisdn(keyring.open(caller, aad)),
                callee=Msisdn(keyring.open(callee, aad)),
                shown=number.code.number(shown),
                to_group=bool(flags & TO_GROUP),
                ends_at=ends_at.astimezone(UTC),
                free_at=free_at.astimezone(UTC),
                code=number.code.value,
                binding_id=id,
            )
        )
    return pairs
