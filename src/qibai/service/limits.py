"""Locks on numbers, and quotas of tenants."""

from datetime import UTC, datetime

from qibai.core.binding import Scene
from qibai.core.numbering import Number700, Province
from qibai.service.desk import Desk
from qibai.store import resources
from qibai.store.resources import list_locks, list_quotas

__all__ = ["drop_quota", "list_locks", "list_quotas", "lock", "set_quota", "unlock"]


async def lock(desk: Desk, number: Number700, *, why: str, stops_calls: bool) -> datetime:
    """Have a number bound no more; what is bound goes on, unless calls are stopped as well.

    Returns the time of the lock. Raise BadRequest.
    """
    now = datetime.now(UTC)
    await resources.lock(desk.conn, number, why=why, at=now, stops_calls=stops_calls)
    await desk.enter_change("lock", f"number:{number}", why=why, calls=stops_calls)
    return now


async def unlock(desk: Desk, number: Number700) -> None:
    """Let a number be bound and called again. Raise NotHere."""
    await resources.unlock(desk.conn, number)
    await desk.enter_change("unlock", f"number:{number}")


async def set_quota(
    desk: Desk, tenant: str, most: int, *, scene: Scene | None = None, province: Province | None = None
) -> int:
    """Limit a tenant's live bindings, there or in all; those above the limit are left alone.

    Returns how many there are now. Raise TenantNotFound, BadRequest.
    """
    used = await resources.set_quota(
        desk.conn, tenant, most, now=datetime.now(UTC), scene=scene, province=province
    )
    where = _where(scene, province)
    await desk.enter_change("quota", f"tenant:{tenant}", most=most, **where)
    return used


async def drop_quota(
    desk: Desk, tenant: str, *, scene: Scene | None = None, province: Province | None = None
) -> None:
    """Lift a limit. Raise TenantNotFound, NotHere."""
    await resources.drop_quota(desk.conn, tenant, scene=scene, province=province)
    await desk.enter_change("quota dropped", f"tenant:{tenant}", **_where(scene, province))


def _where(scene: Scene | None, province: Province | None) -> dict[str, str | None]:
    return {
        "scene": None if scene is None else scene.value,
        "province": None if province is None else province.code,
    }
