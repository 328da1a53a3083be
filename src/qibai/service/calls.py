"""Calls that run."""

from qibai.core.ids import format_id
from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.store import calls
from qibai.store.calls import CallRecord


async def terminate(desk: Desk, tenant_id: int, code: int, id: int, *, for_tenant: str | None) -> CallRecord:
    """Order the node that holds a tenant's call to end it, which takes about a second.

    ``for_tenant``: the tenant's name, where somebody else asks: that is entered in the audit trail. Raise
    CallNotFound, CallEnded.
    """
    row = await calls.order_termination(desk.conn, tenant_id, code, id)
    if for_tenant is not None:
        await desk.enter(Action.CALL_TERMINATE, f"call:{format_id('c', code, id)}", tenant=for_tenant)
    return row
