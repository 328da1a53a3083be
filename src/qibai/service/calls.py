"""Calls: their records, as far as whoever asks may see them, and ending those that run."""

from datetime import datetime
from typing import NamedTuple

from qibai.core.ids import format_id
from qibai.core.numbering import Number700
from qibai.core.refusals import EarlyRefusal
from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.service.reach import Survey
from qibai.store import calls
from qibai.store.calls import CallRecord
from qibai.store.connection import Connection
from qibai.store.keys import Keyring

__all__ = ["CallParties", "CallRecord", "get", "list_calls", "parties", "terminate"]


class CallParties(NamedTuple):
    """Whom a call is between, and the peer that sent it, as whoever asks may know it; None: they may not."""

    caller: str | None
    callee: str | None
    sender: str | None


async def list_calls(
    conn: Connection,
    whose: Survey,
    *,
    before: int | None = None,
    number: Number700 | None = None,
    binding: tuple[int, int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    live: bool | None = None,
    reason: str | None = None,
    peer: str | None = None,
    refused: bool | None = None,
    limit: int = 100,
) -> list[CallRecord]:
    """The calls that ``whose`` reaches, newest first, refused calls too: at most ``limit`` with ids below
    ``before``. Raise StoreUnavailable."""
    return await calls.list_calls(
        conn,
        None if whose.tenant is None else whose.tenant.tenant_id,
        before=before,
        number=number,
        binding=binding,
        since=since,
        until=until,
        live=live,
        reason=reason,
        peer=peer,
        refused=refused,
        platform_id=whose.platform_id,
        limit=limit,
    )


async def get(conn: Connection, whose: Survey, code: int, id: int) -> CallRecord:
    """One call that ``whose`` reaches; it grows while the call runs. Raise CallNotFound, StoreUnavailable."""
    if whose.tenant is None:
        return await calls.get_any_call(conn, code, id, platform_id=whose.platform_id)
    return await calls.get_call(conn, whose.tenant.tenant_id, code, id)


def parties(row: CallRecord, keyring: Keyring, whose: Survey) -> CallParties:
    """A tenant does not learn who called without a binding, nor the address that a stranger called from.

    Raise SealBroken, KeyUnknown.
    """
    caller, callee, sender = None, None, row.caller_peer
    if whose.strangers or row.binding_id is not None:
        caller, callee = row.opened(keyring)
    elif row.reason == EarlyRefusal.SOURCE_UNKNOWN:
        sender = None
    return CallParties(whose.shown_if(caller), whose.shown_if(callee), sender)


async def terminate(desk: Desk, tenant_id: int, code: int, id: int, *, for_tenant: str | None) -> CallRecord:
    """Order the node that holds a tenant's call to end it, which takes about a second.

    ``for_tenant``: the tenant's name, where somebody else asks: that is entered in the audit trail. Raise
    CallNotFound, CallEnded.
    """
    row = await calls.order_termination(desk.conn, tenant_id, code, id)
    if for_tenant is not None:
        await desk.enter(Action.CALL_TERMINATE, f"call:{format_id('c', code, id)}", tenant=for_tenant)
    return row
