"""How many live bindings a tenant may have, in a scene and in a province."""

from dataclasses import dataclass
from datetime import datetime

from qibai.core.binding import Scene
from qibai.core.errors import BadRequest, NotHere
from qibai.core.numbering import Province
from qibai.store.connection import Connection
from qibai.store.resources.platforms import tenant_of
from qibai.store.resources.session import changing, row, rows, run


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit and how much of it is used. Scene and province None: all of them together."""

    tenant: str
    scene: str | None
    province: str | None
    most: int
    used: int


async def set_quota(
    conn: Connection,
    tenant: str,
    most: int,
    *,
    now: datetime,
    scene: Scene | None = None,
    province: Province | None = None,
) -> int:
    """Limit a tenant's live bindings from now on and return how many there are; too many are left alone.

    Counting them takes about a second for each million of the tenant's bindings, during which binds wait.
    Raise TenantNotFound, BadRequest.
    """
    if not 0 <= most < 2**63:
        raise BadRequest("a quota is a whole number, 0 or more", field="most")
    async with changing(conn):
        owner, _ = await tenant_of(conn, tenant)
        found = await row(conn, "set_quota", tenant=owner, most=most, now=now, **_place(scene, province))
    return int(found[0]) if found else 0


async def drop_quota(
    conn: Connection, tenant: str, *, scene: Scene | None = None, province: Province | None = None
) -> None:
    """Raise TenantNotFound, NotHere."""
    async with changing(conn):
        owner, _ = await tenant_of(conn, tenant)
        if not await run(conn, "drop_quota", tenant=owner, **_place(scene, province)):
            raise NotHere("the tenant has no such quota")


async def list_quotas(
    conn: Connection, *, now: datetime, tenant: str | None = None, platform: str | None = None
) -> list[Quota]:
    """All quotas, one tenant's, or those under one platform, and how much of them is used."""
    return await rows(conn, Quota, "list_quotas", tenant=tenant, platform=platform, now=now)


def _place(scene: Scene | None, province: Province | None) -> dict[str, str | None]:
    return {"scene": scene.value if scene else None, "province": province.code if province else None}
