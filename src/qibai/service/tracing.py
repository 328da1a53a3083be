"""From a 700 number and a time to who held it then; and real numbers, shown once, to two persons."""

from datetime import datetime, timedelta
from typing import NamedTuple

from qibai.core.errors import BindingNotFound
from qibai.core.ids import format_id, parse_id
from qibai.core.numbering import Msisdn, Number700
from qibai.core.roles import Action
from qibai.service.desk import Desk
from qibai.store import party_trace, trace
from qibai.store.bindings import Binding
from qibai.store.calls import CallRecord
from qibai.store.connection import Connection
from qibai.store.keys import Keyring
from qibai.store.party_trace import TooOften
from qibai.store.trace import Traced

__all__ = [
    "Binding",
    "CallRecord",
    "TooOften",
    "TraceOutcome",
    "Traced",
    "count_party",
    "find",
    "reveal",
    "trace_number",
]


class TraceOutcome(NamedTuple):
    """Bindings that held the number then, those with calls first; and calls that belong to no binding."""

    bindings: list[Traced]
    more: bool  #: there are more than these
    refused: list[CallRecord]


async def count_party(desk: Desk, number: Number700, party: Msisdn) -> TooOften | None:
    """Count a trace by a real number, before anything is looked for; None: it may go on.

    To be done in a transaction of its own, so that the count is kept. The first refusal of an hour alone is
    entered in the audit trail, so that the trail is not flooded. Raise StoreUnavailable.
    """
    too_many = await party_trace.count(desk.conn, desk.actor)
    if too_many is not None and too_many.refused == 1:
        details = {"party": party.masked, "refused": "trace_limited"}
        await desk.enter(Action.TRACE, f"number:{number}", **details)
    return too_many


async def trace_number(
    desk: Desk, number: Number700, at: datetime, *, party: Msisdn | None, window: timedelta
) -> TraceOutcome:
    """Find who held a number at ``at``, give or take ``window``; ``party``: only those of that number.

    Raise StoreUnavailable, SealBroken.
    """
    traced = await trace.trace(desk.conn, desk.keyring, number, at, party=party, window=window)
    shown = traced[: trace.MOST]
    refused = [] if party is not None else await trace.unbound(desk.conn, number, at, window=window)
    await desk.enter(
        Action.TRACE,
        f"number:{number}",
        at=at,
        window_s=round(window.total_seconds()),
        party=None if party is None else party.masked,
        found=[format_id("b", one.binding.code, one.binding.id) for one in shown],
    )
    return TraceOutcome(shown, len(traced) > len(shown), refused)


async def find(conn: Connection, keyring: Keyring, id: str) -> Binding | CallRecord:
    """The binding or call of an id. Raise BindingNotFound, CallNotFound, StoreUnavailable."""
    if (call := parse_id("c", id)) is not None:
        return await trace.call_of(conn, *call)
    if (binding := parse_id("b", id)) is None:
        raise BindingNotFound
    return await trace.binding_of(conn, keyring, *binding)


async def reveal(desk: Desk, id: str, why: str) -> Binding | CallRecord:
    """A binding or call whose real numbers are shown this once. Takes two persons.

    Raise BindingNotFound, CallNotFound, StoreUnavailable.
    """
    permit = await desk.second(Action.TRACE_REVEAL, {"id": id}, why)
    row = await find(desk.conn, desk.keyring, id)
    kind = "call" if isinstance(row, CallRecord) else "binding"
    await desk.enter(Action.TRACE_REVEAL, f"{kind}:{id}", **permit.details | {"why": why})
    return row
