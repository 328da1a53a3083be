"""Carriers, application-platform providers (应用平台提供方), and the tenants under them."""

from qibai.service.desk import Desk
from qibai.store import resources
from qibai.store.resources import Platform, list_carriers, list_platforms

__all__ = ["Platform", "add", "list_carriers", "list_platforms", "name_carrier", "place", "remove"]


async def name_carrier(desk: Desk, digit: int, name: str) -> None:
    """Name the carrier whose numbers begin with 700 and this digit. Raise BadRequest, Conflict."""
    await resources.set_carrier(desk.conn, digit, name)
    await desk.enter_change("set", f"carrier:{digit}", name=name)


async def add(desk: Desk, name: str) -> int:
    """Add an application platform and return its id. Raise BadRequest, Conflict."""
    id = await resources.add_platform(desk.conn, name)
    await desk.enter_change("add", f"platform:{name}")
    return id


async def place(desk: Desk, tenant: str, platform: str) -> None:
    """Put a tenant under an application platform; with codes it cannot go to another.

    Raise TenantNotFound, NotHere, SubLease.
    """
    await resources.place_tenant(desk.conn, tenant, platform)
    await desk.enter_change("place", f"tenant:{tenant}", platform=platform)


async def remove(desk: Desk, name: str) -> None:
    """Remove an application platform that has no codes, tenants and papers. Raise NotHere, Conflict."""
    await resources.remove_platform(desk.conn, name)
    await desk.enter_change("remove", f"platform:{name}")
