"""A tenant's old middle numbers outside 700: cutting over to 700, and letting them serve again."""

from datetime import UTC, datetime
from typing import Any

from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.store.existing import business
from qibai.store.existing.business import BusinessStatus, status

__all__ = ["BusinessStatus", "cut_over", "go_on", "note_step", "status"]


async def cut_over(desk: Desk, tenant: str, *, force: bool = False) -> int:
    """Refuse the tenant's old numbers from now on; its 700 numbers go on.

    ``force``: also while bindings have no 700 number. Returns how many have none. Raise TenantNotFound,
    StepRefused.
    """
    left = await business.cut_over(desk.conn, tenant, now=datetime.now(UTC), force=force)
    await desk.enter_change("cutover", f"tenant:{tenant}", force=force)
    return left


async def go_on(desk: Desk, tenant: str) -> None:
    """Let the tenant's old numbers serve again beside its 700 numbers, as far as the pilot's rules let them.

    Raise TenantNotFound, StepRefused, PolicyRefused.
    """
    await business.go_on(desk.conn, tenant, desk.config.pilot.rules, now=datetime.now(UTC))
    await desk.enter_change("cutover undone", f"tenant:{tenant}")


async def note_step(desk: Desk, tenant: str, **details: Any) -> None:
    """Note how a move of many old numbers stands: it takes many transactions, and each can be its last."""
    await desk.enter(Action.RESOURCE_CHANGE, f"tenant:{tenant}", **details)
