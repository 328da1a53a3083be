"""Nodes: what becomes of the messages of a node that does not come back."""

from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.store import messages


async def take_over(desk: Desk, node: str, to: str) -> int:
    """Give the text messages of a silent node to another that runs; returns how many.

    Raise BadRequest, Conflict.
    """
    count = await messages.take_over(desk.conn, node, to)
    await desk.enter(Action.MESSAGE_TAKE_OVER, f"node:{node}", to=to, messages=count)
    return count
