"""Codes: which 11-digit codes the platform has, whose they are, and where they may be used."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from qibai.core.errors import TenantNotFound
from qibai.core.numbering import Code, Province
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.statements import load

_SQL: Final = load("codes")


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A code of the platform; ``code`` is the stored value, ``province`` two digits of GB/T 2260."""

    code: int
    tenant_id: int | None
    tenant: str | None
    province: str | None
    enabled: bool  #: False: set aside
    created_at: datetime
    state: str
    provinces: list[str]  #: where its carrier has opened it
    platform: str | None
    certificate: str | None

    def __str__(self) -> str:
        return str(Code(self.code))


@dataclass(frozen=True, slots=True)
class TenantCode:
    """What allocation needs to know of a tenant's code."""

    code: int
    province: str | None
    enabled: bool


async def add_codes(
    conn: Connection, codes: Iterable[Code], *, tenant_id: int, province: Province | None = None
) -> list[Code]:
    """Assign codes to a tenant; returns those that were new: a code once assigned stays where it is.

    Raise TenantNotFound.
    """
    params = {
        "codes": sorted({code.value for code in codes}),
        "tenant_id": tenant_id,
        "province": province.code if province else None,
    }
    try:
        with own_errors():
            rows = await (await conn.execute(_SQL["add_codes"], params)).fetchall()
    except psycopg.errors.ForeignKeyViolation:
        raise TenantNotFound from None
    return [Code(value) for (value,) in sorted(rows)]


async def list_codes(
    conn: Connection,
    *,
    tenant_id: int | None = None,
    platform: str | None = None,
    after: int = -1,
    limit: int | None = None,
) -> list[CodeRow]:
    """All codes in order, one tenant's, or one platform's; those with values greater than ``after``."""
    statement, params = list_statement(tenant_id, platform, after, limit)
    with own_errors():
        async with conn.cursor(row_factory=class_row(CodeRow)) as cur:
            return await (await cur.execute(statement, params)).fetchall()


def list_statement(
    tenant_id: int | None = None, platform: str | None = None, after: int = -1, limit: int | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The statement of ``list_codes``, for those who read its rows one by one."""
    params = {"tenant_id": tenant_id, "platform": platform, "after": after, "limit": limit}
    return _SQL["list_codes"], params


async def codes_of_tenant(conn: Connection, tenant_id: int) -> list[TenantCode]:
    """The tenant's codes in order, disabled ones too."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(TenantCode)) as cur:
            return await (await cur.execute(_SQL["codes_of_tenant"], {"tenant_id": tenant_id})).fetchall()
