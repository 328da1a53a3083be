"""What is done with the text of a tenant's messages."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qibai.core.content import ContentPolicy
from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.store import message_policy, tenants
from qibai.store.message_policy import get_policy

__all__ = ["change", "get_policy", "set_policy"]


async def change(
    desk: Desk, name: str, changes: Mapping[str, Any], *, new_secret: bool = False
) -> tuple[ContentPolicy, str | None]:
    """Change the fields of a tenant's policy that ``changes`` names.

    Returns the policy, and the secret of ``set_policy`` unless there was nothing to change. Raise
    TenantNotFound, BadRequest.
    """
    tenant = await tenants.find_tenant(desk.conn, name)
    policy = replace((await get_policy(desk.conn, tenant.id)).policy, **changes)
    if not changes and not new_secret:
        return policy, None
    return policy, await set_policy(desk, tenant.id, name, policy, new_secret=new_secret)


async def set_policy(
    desk: Desk, tenant_id: int, name: str, policy: ContentPolicy, *, new_secret: bool = False
) -> str:
    """Set the policy of the tenant of that id and name, and return the secret that its service verifies with.

    ``new_secret``: make another secret. Raise BadRequest.
    """
    secret = await message_policy.set_policy(
        desk.conn,
        desk.keyring,
        tenant_id,
        policy,
        plain_http=desk.config.messaging.hook_plain_http,
        new_secret=new_secret,
    )
    numbers, hook = policy.numbers.value, policy.hook.value
    await desk.enter(Action.MESSAGE_POLICY, f"tenant:{name}", numbers=numbers, hook=hook)
    return secret
