"""What is done with the text of a tenant's messages."""

from qibai.core.content import ContentPolicy
from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.store import message_policy
from qibai.store.message_policy import get_policy

__all__ = ["get_policy", "set_policy"]


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
