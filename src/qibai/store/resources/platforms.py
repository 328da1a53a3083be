"""Carriers, application platforms, and under which of them a tenant sits."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import psycopg

from qibai.core.errors import BadRequest, Conflict, NotHere, StepRefused, SubLease, TenantNotFound
from qibai.core.typed import checked_name
from qibai.store.connection import Connection
from qibai.store.resources.session import changing, row, rows, run

_UNDER: Final = ("code", "tenant", "paper", "application", "API key")


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier by its digit, the fourth of a 700 number; ``set_aside``: how many of its codes are."""

    digit: int
    name: str
    codes: int
    set_aside: int


@dataclass(frozen=True, slots=True)
class Platform:
    """An application-platform provider with its latest approval, if any."""

    id: int
    name: str
    approval: str | None
    provinces: list[str] | None
    first_day: date | None
    last_day: date | None
    revoked_at: datetime | None
    exit_at: datetime | None
    applied_at: datetime | None
    codes: int
    tenants: list[str]


async def set_carrier(conn: Connection, digit: int, name: str) -> None:
    """Name the carrier of a digit. Raise BadRequest, BadName, NumberNotAllowed."""
    if not 0 <= digit <= 9:
        raise BadRequest("a carrier's digit is 0 to 9", field="digit")
    checked_name(name, "name")
    async with changing(conn):
        await run(conn, "set_carrier", digit=digit, name=name)


async def list_carriers(conn: Connection) -> list[Carrier]:
    """All carriers, by digit."""
    return await rows(conn, Carrier, "list_carriers")


async def add_platform(conn: Connection, name: str) -> int:
    """Add an application platform and return its id. Raise Conflict, BadName, NumberNotAllowed."""
    checked_name(name, "name")
    try:
        async with changing(conn):
            found = await row(conn, "add_platform", name=name)
    except psycopg.errors.UniqueViolation:
        raise Conflict("an application platform of this name exists already", field="name") from None
    assert found is not None  # noqa: S101  # an INSERT … RETURNING
    return int(found[0])


async def remove_platform(conn: Connection, name: str) -> None:
    """Remove an application platform that has nothing. Raise NotHere, StepRefused, which says what it has."""
    try:
        async with changing(conn):
            id = await platform_id(conn, name)
            found = await row(conn, "under_platform", id=id)
            assert found is not None  # noqa: S101  # counts
            has = [
                f"{count} {what}{'s' if count > 1 else ''}"
                for what, count in zip(_UNDER, found, strict=True)
                if count
            ]
            if has:
                raise StepRefused(
                    f"this application platform has {', '.join(has)}; only an empty one can be removed"
                )
            await run(conn, "remove_platform", id=id)
    except psycopg.errors.ForeignKeyViolation:
        raise StepRefused("this application platform received a code, a tenant or a paper just now") from None


async def list_platforms(conn: Connection, name: str | None = None) -> list[Platform]:
    """All application platforms by name, or the one of that name."""
    return await rows(conn, Platform, "list_platforms", name=name)


async def platform_id(conn: Connection, name: str) -> int:
    """Raise NotHere."""
    found = await row(conn, "find_platform", name=name)
    if found is None:
        raise NotHere("no application platform has this name", field="platform")
    return int(found[0])


async def tenant_of(conn: Connection, name: str) -> tuple[int, int | None]:
    """The tenant's id and that of its application platform. Raise TenantNotFound."""
    found = await row(conn, "tenant_platform", name=name)
    if found is None:
        raise TenantNotFound
    return found[0], found[1]


async def place_tenant(conn: Connection, tenant: str, platform: str) -> None:
    """Put a tenant under an application platform.

    A tenant with codes of one platform cannot go to another, nor one whose bindings are kept still, as traces
    of them would name the wrong platform: SubLease. Raise TenantNotFound, NotHere.
    """
    async with changing(conn):
        tenant_id, held_by = await tenant_of(conn, tenant)
        target = await platform_id(conn, platform)
        if held_by not in (None, target) and await row(conn, "has_bindings", tenant=tenant_id) is not None:
            raise SubLease("bindings of this tenant are kept under another platform; add a new tenant")
        try:
            await run(conn, "place_tenant", tenant=tenant_id, platform=target)
        except psycopg.errors.ForeignKeyViolation:
            raise SubLease("this tenant holds codes of another application platform") from None
