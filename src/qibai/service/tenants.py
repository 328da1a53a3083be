"""Tenants, and the API keys of tenants, persons and application platforms."""

from typing import Any

from qibai.core.errors import TenantNotFound
from qibai.core.roles import Action, Role
from qibai.service.desk import Desk
from qibai.store import key_reads, tenants
from qibai.store.actors import person_name
from qibai.store.connection import Connection
from qibai.store.key_reads import KeyRead
from qibai.store.resources.platforms import platform_id
from qibai.store.tenants import ApiKey, NewApiKey, Tenant, list_keys, list_tenants

__all__ = [
    "ApiKey",
    "KeyRead",
    "NewApiKey",
    "Tenant",
    "add",
    "add_key_of_person",
    "add_key_of_platform",
    "add_key_of_tenant",
    "disable",
    "enable",
    "keys_of_tenant",
    "list_keys",
    "list_tenants",
    "revoke_key",
]


async def add(desk: Desk, name: str) -> tuple[Tenant, NewApiKey]:
    """Add a tenant and its first API key. Raise BadRequest, Conflict."""
    tenant = await tenants.add_tenant(desk.conn, name)
    key = await tenants.add_key(desk.conn, desk.keyring, tenant.id)
    await desk.enter(Action.TENANT_ADD, f"tenant:{name}", key=key.id)
    return tenant, key


async def disable(desk: Desk, name: str) -> Tenant:
    """Shut a tenant out of the API; calls of its bindings go on. Raise TenantNotFound."""
    tenant = await tenants.disable_tenant(desk.conn, name)
    await desk.enter(Action.TENANT_DISABLE, f"tenant:{name}")
    return tenant


async def enable(desk: Desk, name: str) -> Tenant:
    """Undo ``disable``. Raise TenantNotFound."""
    tenant = await tenants.enable_tenant(desk.conn, name)
    await desk.enter(Action.TENANT_ENABLE, f"tenant:{name}")
    return tenant


async def add_key_of_tenant(desk: Desk, name: str, role: Role, why: str) -> NewApiKey:
    """Make an API key that reads real numbers: a tenant's, or a network's. Takes two persons.

    Raise TenantNotFound.
    """
    return await _add_second(desk, {"role": role, "tenant": name}, why, tenant=name)


async def add_key_of_person(desk: Desk, name: str, role: Role, why: str) -> NewApiKey:
    """Make an operator's or auditor's API key. Takes two persons once there are two operators.

    Raise BadRequest.
    """
    return await _add_second(desk, {"role": role, "person": person_name(name)}, why, person=name)


async def add_key_of_platform(desk: Desk, name: str) -> NewApiKey:
    """Make an application platform's API key, which reads no real numbers. Raise NotHere."""
    id = await platform_id(desk.conn, name)
    key = await tenants.add_key(desk.conn, desk.keyring, kind=Role.PLATFORM, platform_id=id)
    await desk.enter(Action.KEY_ADD, f"key:{key.id}", role=Role.PLATFORM, platform=name)
    return key


async def revoke_key(desk: Desk, key_id: str) -> None:
    """Make an API key useless for good. Raise TenantNotFound when there is none of that id."""
    if not await tenants.revoke_key(desk.conn, key_id):
        raise TenantNotFound("no API key of that id; see `qibai access list`")
    await desk.enter(Action.KEY_REVOKE, f"key:{key_id}")


async def _add_second(
    desk: Desk, params: dict[str, Any], why: str, *, tenant: str | None = None, person: str | None = None
) -> NewApiKey:
    permit = await desk.second(Action.KEY_ADD, params, why)
    owner = None if tenant is None else (await tenants.find_tenant(desk.conn, tenant)).id
    key = await tenants.add_key(desk.conn, desk.keyring, owner, params["role"], person=person)
    await desk.enter(Action.KEY_ADD, f"key:{key.id}", **params | permit.details)
    return key


async def keys_of_tenant(conn: Connection, name: str) -> tuple[list[ApiKey], dict[str, KeyRead]]:
    """A tenant's API keys, and by their ids how often real numbers were read whole. Raise TenantNotFound."""
    tenant = await tenants.find_tenant(conn, name)
    return await list_keys(conn, tenant.id), await key_reads.of_tenant(conn, tenant.id)
