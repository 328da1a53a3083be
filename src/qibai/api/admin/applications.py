"""Applications and the steps that they take."""

from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import body, change, own_platform, read, rules_now, to_model
from qibai.api.handlers import Asking
from qibai.core.errors import NotHere
from qibai.core.roles import Action
from qibai.store import resources

Id = Annotated[int, Parameter(description="The application's id.", ge=1, le=2**31 - 1)]
_REQUEST: Final = msgspec.json.Decoder(models.ApplicationRequest)
_STEP: Final = msgspec.json.Decoder(models.StepRequest)


@get(
    "/v1/admin/applications",
    operation_id="list_applications",
    summary="List applications",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def list_applications(request: Asking) -> list[models.Application]:
    """Applications, oldest first, with the reason of a refusal."""
    own = own_platform(request)
    found = await read(request, lambda conn: resources.list_applications(conn, platform=own))
    return [to_model(models.Application, row) for row in found]


@post(
    "/v1/admin/applications",
    operation_id="draft_application",
    summary="Draft an application",
    tags=["admin"],
    opt={"action": Action.RESOURCE_CHANGE, "body": models.ApplicationRequest},
)
async def draft(request: Asking) -> models.Application:
    """An application for an approval, for more codes, to return some, to leave early, to renew."""
    wish = body(request, _REQUEST)
    at = rules_now(wish.at)
    id = await change(
        request,
        "draft",
        f"platform:{wish.platform}",
        lambda conn: resources.draft(conn, wish.platform, wish.kind, at=at, note=wish.note),
        kind=wish.kind,
    )
    return await _one(request, id)


@get(
    "/v1/admin/applications/{id:int}/steps",
    operation_id="list_steps",
    summary="An application's history",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def steps(request: Asking, id: Id) -> list[models.Step]:
    """Every step that it took, in order."""
    own = own_platform(request)
    found = await read(request, lambda conn: resources.history(conn, id, platform=own))
    if not found:
        raise NotHere("there is no application of this id", field="id")
    return [to_model(models.Step, row) for row in found]


@post(
    "/v1/admin/applications/{id:int}/steps",
    operation_id="move_application",
    summary="Take an application's next step",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.RESOURCE_CHANGE, "body": models.StepRequest},
)
async def move(request: Asking, id: Id) -> models.Application:
    """Drafted → submitted → accepted or refused (with a reason) → granted; a refused one may be redrafted."""
    step = body(request, _STEP)
    at = rules_now(step.at)
    await change(
        request,
        step.to.value,
        f"application:{id}",
        lambda conn: resources.move(conn, id, step.to, at=at, reason=step.reason),
        reason=step.reason,
    )
    return await _one(request, id)


async def _one(request: Asking, id: int) -> models.Application:
    found = await read(request, resources.list_applications)
    return next(to_model(models.Application, row) for row in found if row.id == id)


HANDLERS: Final = (list_applications, draft, steps, move)
