"""Applications and the steps that they take."""

from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import body, own_platform, perform, read, to_model
from qibai.api.request import Asking
from qibai.core.errors import BadRequest, NotHere
from qibai.core.numbering import parse_codes, parse_province
from qibai.core.pilot import ApplicationState
from qibai.core.roles import Action
from qibai.service import applications

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
    found = await read(request, lambda conn: applications.list_applications(conn, platform=own))
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
    id = await perform(
        request,
        lambda desk: applications.draft(desk, wish.platform, wish.kind, note=wish.note, at=wish.at),
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
    found = await read(request, lambda conn: applications.history(conn, id, platform=own))
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
    if step.to is ApplicationState.GRANTED:
        outcome = _outcome(step)
        await perform(request, lambda desk: applications.grant(desk, id, outcome, at=step.at))
    elif step.outcome is not None:
        raise BadRequest("only a grant has an outcome", field="outcome")
    else:
        await perform(
            request, lambda desk: applications.move(desk, id, step.to, at=step.at, reason=step.reason)
        )
    return await _one(request, id)


def _outcome(step: models.StepRequest) -> applications.Outcome:
    if step.reason is not None:
        raise BadRequest("a refusal has a reason, and nothing else has", field="reason")
    outcome = step.outcome or models.Outcome()
    return applications.Outcome(
        approval=outcome.approval,
        certificate=outcome.certificate,
        provinces=[parse_province(name) for name in outcome.provinces or ()],
        first_day=outcome.first_day,
        last_day=outcome.last_day,
        codes=parse_codes(outcome.codes or ()),
        exit_at=outcome.exit_at,
    )


async def _one(request: Asking, id: int) -> models.Application:
    found = await read(request, applications.list_applications)
    return next(to_model(models.Application, row) for row in found if row.id == id)


HANDLERS: Final = (list_applications, draft, steps, move)
