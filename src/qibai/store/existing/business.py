"""Where a tenant's move to 700 stands, and its turns: cutting over, and letting old numbers go on again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from qibai.core.errors import Conflict, StepRefused, TenantNotFound
from qibai.core.pilot import Rules
from qibai.store.bindings import policy_refused
from qibai.store.connection import Connection
from qibai.store.existing.model import TURN_LOCK
from qibai.store.failures import own_errors
from qibai.store.standing import old_business
from qibai.store.statements import load

_SQL: Final = load("migration")


@dataclass(frozen=True, slots=True)
class FileStatus:
    """How far a file of old bindings is; ``total`` is known once it was checked."""

    id: int
    file: str
    began_at: datetime
    checked_at: datetime | None
    finished_at: datetime | None
    total: int | None
    moved: int  #: got a 700 number
    kept: int  #: serve under their old number alone
    earlier: int  #: were there before
    rejected: int


@dataclass(frozen=True, slots=True)
class BusinessStatus:
    """A tenant's old business. ``cut_over_at`` None: its old numbers serve, if the pilot's rules let them."""

    tenant: str
    tenant_id: int
    began_at: datetime | None  #: None: nothing of it was ever taken over
    cut_over_at: datetime | None
    moved: int  #: live old bindings that have a 700 number
    kept: int  #: live ones that have none
    ended: int
    files: list[FileStatus]


async def status(
    conn: Connection, tenant: str, *, now: datetime, platform: str | None = None
) -> BusinessStatus:
    """Reads all of the tenant's old bindings. ``platform``: only of a tenant of that application platform.

    Raise TenantNotFound, StoreUnavailable.
    """
    with own_errors():
        params = {"name": tenant, "platform": platform}
        row = await (await conn.execute(_SQL["find_business"], params)).fetchone()
        if row is None:
            raise TenantNotFound
        id, began_at, cut_over_at = row
        moved, kept, ended = await _count(conn, id, now)
        async with conn.cursor(row_factory=class_row(FileStatus)) as cur:
            files = await (await cur.execute(_SQL["migrations"], {"tenant": id})).fetchall()
    return BusinessStatus(tenant, id, began_at, cut_over_at, moved, kept, ended, files)


async def cut_over(conn: Connection, tenant: str, *, now: datetime, force: bool = False) -> int:
    """From now on the tenant's old numbers are refused; returns how many live ones have no 700 number.

    In the caller's transaction. Raise StepRefused when there are any, unless ``force``, or when it has cut
    over already; TenantNotFound, Conflict, StoreUnavailable.
    """
    id = await _take_turn(conn, tenant)
    with own_errors():
        _, left, _ = await _count(conn, id, now)
        if left and not force:
            raise StepRefused(
                f"{left} live old bindings have no 700 number and would be cut off; migrate them first"
            )
        if not (await conn.execute(_SQL["cut_over"], {"tenant": id, "now": now})).rowcount:
            raise StepRefused("this tenant has cut over already")
    return left


async def go_on(conn: Connection, tenant: str, rules: Rules, *, now: datetime) -> int:
    """The tenant's old numbers serve again, beside its 700 numbers; returns its id.

    In the caller's transaction. Raise PolicyRefused when the pilot's rules forbid them, StepRefused when it
    has not cut over, TenantNotFound, Conflict, StoreUnavailable.
    """
    id = await _take_turn(conn, tenant)
    await may_serve(conn, id, rules, now)
    with own_errors():
        if not (await conn.execute(_SQL["go_on"], {"tenant": id})).rowcount:
            raise StepRefused("this tenant has not cut over")
    return id


async def begin_roll_back(conn: Connection, tenant: str, rules: Rules, *, now: datetime) -> int:
    """As ``go_on``, whether or not it has cut over; its files can be executed again."""
    id = await _take_turn(conn, tenant)
    await may_serve(conn, id, rules, now)
    with own_errors():
        for name in ("go_on", "reopen_batches", "reopen"):
            await conn.execute(_SQL[name], {"tenant": id})
    return id


async def may_serve(conn: Connection, tenant_id: int, rules: Rules, now: datetime) -> None:
    """Raise PolicyRefused when the pilot's rules forbid old numbers of this tenant."""
    standing, _ = await old_business(conn, tenant_id)
    rule = rules.may_serve_existing(standing, now.timestamp())
    if rule is not None:
        raise policy_refused(rule)


async def _take_turn(conn: Connection, tenant: str) -> int:
    with own_errors():
        row = await (await conn.execute(_SQL["lock_turn"], {"key": TURN_LOCK})).fetchone()
        if row is None or not row[0]:
            raise Conflict("another migration, cut-over or roll-back is under way; wait for its end")
        params = {"name": tenant, "platform": None}
        found = await (await conn.execute(_SQL["find_business"], params)).fetchone()
    if found is None:
        raise TenantNotFound
    if found[1] is None:
        raise StepRefused("no old bindings of this tenant were ever taken over")
    return int(found[0])


async def _count(conn: Connection, tenant_id: int, now: datetime) -> tuple[int, int, int]:
    """Live with a 700 number, live without, ended."""
    row = await (await conn.execute(_SQL["count_old"], {"tenant": tenant_id, "now": now})).fetchone()
    return (0, 0, 0) if row is None else (row[0], row[1], row[2])
