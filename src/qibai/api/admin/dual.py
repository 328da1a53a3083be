"""Acts that two persons answer for, and what waits for the second."""

from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import perform, read
from qibai.api.request import Asking
from qibai.core.roles import Action
from qibai.service import second_person
from qibai.service.second_person import Request

RequestId = Annotated[str, Parameter(description="A request's id.", max_length=20, pattern="^[a-z0-9]+$")]


@get(
    "/v1/admin/requests",
    operation_id="list_requests",
    summary="List requests for a second person",
    tags=["admin"],
    opt={"action": Action.DUAL_READ},
)
async def list_requests(
    request: Asking,
    every: Annotated[bool, Parameter(query="all", description="Also list closed requests.")] = False,
) -> list[models.DualRequest]:
    """What was asked for and can still be approved or used, the latest first; 200 at most."""
    found = await read(request, lambda conn: second_person.requests(conn, open_only=not every))
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
    return _model(await perform(request, lambda desk: second_person.decide(desk, id, approve=approve)))


def _model(one: Request) -> models.DualRequest:
    fields = msgspec.structs.asdict(one)
    del fields["asked_via"], fields["decided_via"]
    return models.DualRequest(**fields | {"params": msgspec.json.decode(one.params)})


HANDLERS: Final = (list_requests, approve, reject)
