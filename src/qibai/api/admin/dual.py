"""Acts that two persons answer for, and what waits for the second."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import msgspec
from litestar import get, post
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import ACT_TIMEOUT_S, read
from qibai.api.connections import Connection
from qibai.api.gate import asked
from qibai.api.handlers import Asking, services_of
from qibai.core.errors import SecondPersonRequired
from qibai.core.roles import Action
from qibai.store import dual
from qibai.store.dual import Permit, Request, Wanted

T = TypeVar("T")
RequestId = Annotated[str, Parameter(description="A request's id.", max_length=20, pattern="^[a-z0-9]+$")]


async def twofold(request: Asking, wanted: Wanted, work: Callable[[Connection, Permit], Awaitable[T]]) -> T:
    """Do ``work`` in one transaction if another person has approved just what is wanted; else ask for it.

    Raise SecondPersonRequired after having asked.
    """
    services = services_of(request)
    actor = asked(request.scope).principal.actor
    async with services.acts(ACT_TIMEOUT_S) as conn:
        found = await dual.permit(conn, services.keyring, services.config.dual, actor, wanted)
        if isinstance(found, Permit):
            return await work(conn, found)
    raise SecondPersonRequired(
        f"another operator has to approve the request {found.id} first; then send the same again"
    )


@get(
    "/v1/admin/requests",
    operation_id="list_requests",
    summary="List requests for a second person",
    tags=["admin"],
    opt={"action": Action.DUAL_READ},
)
async def list_requests(
    request: Asking,
    every: Annotated[bool, Parameter(query="all", description="Those that are over, too.")] = False,
) -> list[models.DualRequest]:
    """What was asked for and can still be approved or used, the latest first; 200 at most."""
    found = await read(request, lambda conn: dual.requests(conn, open_only=not every))
    return [_model(one) for one in found]


@post(
    "/v1/admin/requests/{id:str}/approve",
    operation_id="approve_request",
    summary="Approve what another person asked for",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.DUAL_APPROVE},
)
async def approve(request: Asking, id: RequestId) -> models.DualRequest:
    """Never by who asked, nor with a key that is younger than the request."""
    return await _decide(request, id, approve=True)


@post(
    "/v1/admin/requests/{id:str}/reject",
    operation_id="reject_request",
    summary="Reject a request",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.DUAL_REJECT},
)
async def reject(request: Asking, id: RequestId) -> models.DualRequest:
    """Who asked takes it back so. An auditor can reject only what is the auditor's own."""
    return await _decide(request, id, approve=False)


async def _decide(request: Asking, id: str, *, approve: bool) -> models.DualRequest:
    services = services_of(request)
    actor = asked(request.scope).principal.actor
    async with services.acts() as conn:
        return _model(await dual.decide(conn, services.keyring, actor, id, approve=approve))


def _model(one: Request) -> models.DualRequest:
    fields = msgspec.structs.asdict(one)
    del fields["asked_via"], fields["decided_via"]
    return models.DualRequest(**fields | {"params": msgspec.json.decode(one.params)})


HANDLERS: Final = (list_requests, approve, reject)
