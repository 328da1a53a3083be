"""One change at a time: the transaction in which an operator's act takes place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import class_row

from qibai.core.errors import BadRequest, SubLease
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.statements import load

SQL: Final = load("resources")
_HANDED_ON: Final = frozenset({"code_tenant_platform_fkey", "code_certificate_fkey"})

T = TypeVar("T")


@asynccontextmanager
async def changing(conn: Connection) -> AsyncIterator[None]:
    """A transaction that no bind and no other change runs beside.

    Binds that began before have committed, those that follow see the change. Raise SubLease when numbers were
    to go from one application platform to another, StoreUnavailable.
    """
    try:
        with own_errors():
            async with conn.transaction():
                await conn.execute(SQL["lock"])
                yield
    except psycopg.errors.ForeignKeyViolation as exc:
        if exc.diag.constraint_name in _HANDED_ON:
            raise SubLease from None
        raise


def plausible(at: date, field: str) -> None:
    """Raise BadRequest for a day or time that no paper of ours can bear; calendars end somewhere."""
    if not 2000 <= at.year <= 2999:
        raise BadRequest("give a time between the years 2000 and 2999", field=field)


async def run(conn: Connection, name: str, /, **params: Any) -> int:
    """Run a statement; how many rows it touched."""
    return (await conn.execute(SQL[name], params)).rowcount


async def rows(conn: Connection, kind: type[T], name: str, /, **params: Any) -> list[T]:
    """What a statement finds, each row a ``kind``. Raise StoreUnavailable."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(kind)) as cur:
            return await (await cur.execute(SQL[name], params)).fetchall()


async def row(conn: Connection, name: str, /, **params: Any) -> tuple[Any, ...] | None:
    """The first row that a statement finds."""
    with own_errors():
        return await (await conn.execute(SQL[name], params)).fetchone()
