"""A tenant's old middle numbers outside 700: where their move stands, cutting over, letting them go on."""

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import body, own_platform, perform, read, to_model
from qibai.api.request import Asking
from qibai.core.roles import Action
from qibai.service import existing

_CUT_OVER: Final = msgspec.json.Decoder(models.CutOverRequest)
_GO_ON: Final = msgspec.json.Decoder(models.GoOnRequest)
_LABEL: Final = r"^[\x20-\x7e\u00a0-\u200a\u3001-\u9fff\uff01-\uffee]+$"


@get(
    "/v1/admin/existing",
    operation_id="get_existing",
    summary="Where a tenant's move to 700 stands",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def get_existing(
    request: Asking,
    tenant: Annotated[str, Parameter(description="Its name.", min_length=1, max_length=64, pattern=_LABEL)],
) -> models.Existing:
    """Its live old bindings, with and without a 700 number, and the files that were taken over."""
    return await _status(request, tenant, own_platform(request))


@post(
    "/v1/admin/existing/cut-over",
    operation_id="cut_over",
    summary="Cut a tenant over to 700",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.RESOURCE_CHANGE, "body": models.CutOverRequest},
)
async def cut_over(request: Asking) -> models.Existing:
    """Its old numbers are refused from now on, by the rule `moved_to_700`; its 700 numbers go on."""
    wish = body(request, _CUT_OVER)
    await perform(request, lambda desk: existing.cut_over(desk, wish.tenant, force=wish.force))
    return await _status(request, wish.tenant)


@post(
    "/v1/admin/existing/go-on",
    operation_id="undo_cut_over",
    summary="Let a tenant's old numbers serve again",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.RESOURCE_CHANGE, "body": models.GoOnRequest},
)
async def go_on(request: Asking) -> models.Existing:
    """After a cut-over, beside its 700 numbers, as far as the pilot's rules still let old numbers serve."""
    wish = body(request, _GO_ON)
    await perform(request, lambda desk: existing.go_on(desk, wish.tenant))
    return await _status(request, wish.tenant)


HANDLERS: Final = (get_existing, cut_over, go_on)


async def _status(request: Asking, tenant: str, platform: str | None = None) -> models.Existing:
    now = datetime.now(UTC)
    return _model(await read(request, lambda conn: existing.status(conn, tenant, now=now, platform=platform)))


def _model(found: existing.BusinessStatus) -> models.Existing:
    files = [to_model(models.ExistingFile, one) for one in found.files]
    return models.Existing(
        tenant=found.tenant,
        began_at=found.began_at,
        cut_over_at=found.cut_over_at,
        moved=found.moved,
        kept=found.kept,
        ended=found.ended,
        files=files,
    )
