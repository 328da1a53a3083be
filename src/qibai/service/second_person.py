"""What two persons answer for: deciding what another asked for, and the rule of how many it takes."""

from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.store import dual, dual_rule
from qibai.store.dual import Request, requests
from qibai.store.dual_rule import TWO, persons

__all__ = ["TWO", "Request", "decide", "persons", "requests", "set_rule"]


async def decide(desk: Desk, id: str, *, approve: bool) -> Request:
    """Approve or reject a request, with a key of one's own; who asked takes it back by rejecting it.

    Raise Unauthenticated, Forbidden, RequestNotFound, RequestOver, SamePerson.
    """
    await desk.prove()
    return await dual.decide(desk.conn, desk.keyring, desk.actor, id, approve=approve)


async def set_rule(desk: Desk, persons: int, why: str) -> None:
    """Let grave acts take one person or two from now on; to lower that takes two, once there are two."""
    details = {}
    if persons < TWO:
        details = (await desk.second(Action.DUAL_RULE, {"persons": persons}, why)).details
    await dual_rule.set_rule(desk.conn, desk.keyring, desk.actor, persons, details)
