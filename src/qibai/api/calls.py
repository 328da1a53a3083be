"""``/v1/calls``: a tenant's call records, and ending a running call."""

from typing import Annotated, Final

from litestar import get, post
from litestar.params import Parameter

from qibai.api import models
from qibai.api.admin.common import perform
from qibai.api.decode import instant, no_nulls
from qibai.api.gate import asked
from qibai.api.legible import legible
from qibai.api.request import (
    All,
    Asking,
    Limit,
    OfBinding,
    Since,
    Until,
    Whose,
    reached,
    seen,
    services_of,
    surveyed,
)
from qibai.core.calls import PLATFORM
from qibai.core.errors import BadRequest, CallNotFound
from qibai.core.ids import format_id, parse_id
from qibai.core.numbering import Number700
from qibai.core.pilot import document_of
from qibai.core.roles import Action
from qibai.service import calls
from qibai.service.calls import CallRecord
from qibai.service.reach import Survey
from qibai.store.keys import Keyring

CallId = Annotated[str, Parameter(description="A call's id.", max_length=64, pattern=models.ID_PATTERN)]
_CURSOR: Final = "c"


@get(
    "/v1/calls",
    operation_id="list_calls",
    summary="List calls",
    tags=["calls"],
    opt={"action": Action.CALL_READ},
)
async def list_calls(  # noqa: PLR0917  # Litestar calls it by name
    request: Asking,
    binding: OfBinding = None,
    number: Annotated[
        str | None,
        Parameter(description="Only to this 700 number.", max_length=15, pattern=models.NUMBER_PATTERN),
    ] = None,
    since: Since = None,
    until: Until = None,
    live: Annotated[bool | None, Parameter(description="Only running calls, or only ended ones.")] = None,
    reason: Annotated[
        str | None,
        Parameter(description="Only those that ended so.", max_length=64, pattern="^[a-z0-9_.-]+$"),
    ] = None,
    peer: Annotated[
        str | None,
        Parameter(
            description="Only those that this peer, or stranger's address, sent, had or failed.",
            max_length=64,
            pattern=r"^[^\x00]+$",
        ),
    ] = None,
    refused: Annotated[
        bool | None, Parameter(description="Only those that the platform refused, or only the others.")
    ] = None,
    cursor: Annotated[
        str | None,
        Parameter(description="`next_cursor` of the page before.", max_length=64, pattern=models.ID_PATTERN),
    ] = None,
    limit: Limit = 100,
    tenant: Whose = None,
    everyone: All = False,
) -> models.CallPage:
    """The calls of a tenant's numbers, newest first, refused ones too; real numbers masked for others."""
    no_nulls(
        request.scope["query_string"],
        *("binding", "number", "live", "cursor", "tenant", "reason", "peer", "refused", "all"),
    )
    services = services_of(request)
    before = None if cursor is None else parse_id(_CURSOR, cursor)
    if cursor is not None and before is None:
        raise BadRequest("invalid cursor: use the `next` value of an earlier page", field="cursor")
    of_binding = None if binding is None else parse_id("b", binding)
    if binding is not None and of_binding is None:
        raise BadRequest("this is not the id of a binding", field="binding")
    whose = await surveyed(request, tenant, everyone=everyone)
    async with services.connections.get() as conn:
        rows = await calls.list_calls(
            conn,
            whose,
            before=None if before is None else before[1],
            number=None if number is None else Number700.parse(number),
            binding=of_binding,
            since=None if since is None else instant(since, "since"),
            until=None if until is None else instant(until, "until"),
            live=live,
            reason=reason,
            peer=peer,
            refused=refused,
            limit=limit + 1,
        )
    page, unreadable = legible(rows[:limit], lambda row: _call(row, services.keyring, whose), _id)
    _seen(request, *page)
    return models.CallPage(page, _id(rows[limit - 1]) if len(rows) > limit else None, unreadable)


@get(
    "/v1/calls/{id:str}",
    operation_id="get_call",
    summary="Get a call",
    tags=["calls"],
    opt={"action": Action.CALL_READ},
)
async def get_call(request: Asking, id: CallId, tenant: Whose = None, everyone: All = False) -> models.Call:
    """One call record; it grows while the call runs."""
    no_nulls(request.scope["query_string"], "tenant", "all")
    services = services_of(request)
    code, row_id = _parse(id)
    whose = await surveyed(request, tenant, everyone=everyone)
    async with services.connections.get() as conn:
        row = await calls.get(conn, whose, code, row_id)
    call = _call(row, services.keyring, whose)
    _seen(request, call)
    return call


@post(
    "/v1/calls/{id:str}/terminate",
    operation_id="terminate_call",
    summary="End a running call",
    tags=["calls"],
    status_code=202,
    opt={"action": Action.CALL_TERMINATE},
)
async def terminate_call(request: Asking, id: CallId, tenant: Whose = None) -> models.Call:
    """Ask the node that holds the call to end it; this takes about a second. Audited if an operator asks."""
    no_nulls(request.scope["query_string"], "tenant")
    services = services_of(request)
    code, row_id = _parse(id)
    whose = await reached(request, tenant)
    who = asked(request.scope).principal
    name = tenant if who.tenant is None else None
    row = await perform(
        request, lambda desk: calls.terminate(desk, whose.tenant_id, code, row_id, for_tenant=name)
    )
    call = _call(row, services.keyring, Survey(whose, None, who.role.of_person))
    _seen(request, call)
    return call


HANDLERS: Final = (list_calls, get_call, terminate_call)


def _seen(request: Asking, *shown: models.Call) -> None:
    seen(request, *(number for one in shown for number in (one.caller, one.callee)))


def _id(row: CallRecord) -> str:
    return format_id("c", row.code, row.id)


def _parse(text: str) -> tuple[int, int]:
    found = parse_id("c", text)
    if found is None:
        raise CallNotFound
    return found


def _call(row: CallRecord, keyring: Keyring, whose: Survey) -> models.Call:
    parties = calls.parties(row, keyring, whose)
    return models.Call(
        id=_id(row),
        tenant=row.tenant,
        binding_id=None if row.binding_id is None else format_id("b", row.code, row.binding_id),
        called=row.dialled_number(keyring),
        shown=None if row.shown_number is None else str(row.shown_number),
        caller=parties.caller,
        callee=parties.callee,
        node=row.node,
        started_at=row.started_at,
        ringing_at=row.ringing_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        duration_ms=row.duration_ms,
        sip_status=row.sip_status,
        q850=row.q850,
        reason=row.reason,
        document=document_of(row.reason),
        end_seen=row.end_seen,
        caller_peer=parties.sender,
        callee_peer=row.callee_peer,
        gave_up=[line[4:] for line in (row.gave_up or "").splitlines()],
        refused=row.ended_by == PLATFORM and row.callee is None,
    )
