"""The life of codes."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import body, own_platform, perform, read
from qibai.api.decode import no_nulls
from qibai.api.request import Asking
from qibai.core.numbering import Code, parse_codes, parse_province
from qibai.core.roles import Action
from qibai.service import codes
from qibai.service.desk import Desk

_CODES: Final = msgspec.json.Decoder(models.CodesRequest)
_ASSIGN: Final = msgspec.json.Decoder(models.AssignRequest)
_OPEN: Final = msgspec.json.Decoder(models.OpenRequest)
_GIVE: Final = msgspec.json.Decoder(models.GiveRequest)
_SET_ASIDE: Final = msgspec.json.Decoder(models.SetAsideRequest)
_RESTORE: Final = msgspec.json.Decoder(models.RestoreRequest)


def _step(name: str, model: type) -> dict[str, Any]:
    return {
        "path": f"/v1/admin/codes/{name}",
        "operation_id": f"{name.replace('-', '_')}_codes",
        "tags": ["admin"],
        "status_code": 200,
        "opt": {"action": Action.RESOURCE_CHANGE, "body": model},
    }


@get(
    "/v1/admin/codes",
    operation_id="list_all_codes",
    summary="List all codes",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def list_all(
    request: Asking,
    cursor: Annotated[
        str | None,
        Parameter(description="`next_cursor` of the page before.", max_length=11, pattern="^700[0-9]{8}$"),
    ] = None,
    limit: Annotated[int, Parameter(description="How many at most.", ge=1, le=10_000)] = 1_000,
) -> models.CodePage:
    """All codes of the platform, in order, each with where it stands."""
    no_nulls(request.scope["query_string"], "cursor")
    after = -1 if cursor is None else Code.parse(cursor).value
    own = own_platform(request)
    rows = await read(
        request, lambda conn: codes.list_codes(conn, platform=own, after=after, limit=limit + 1)
    )
    items = [
        models.HeldCode(
            code=str(row),
            state=row.state,
            enabled=row.enabled,
            provinces=row.provinces,
            platform=row.platform,
            certificate=row.certificate,
            tenant=row.tenant,
        )
        for row in rows[:limit]
    ]
    return models.CodePage(items, items[-1].code if len(rows) > limit else None)


@post(summary="Enter codes under a certificate", **_step("assign", models.AssignRequest))
async def assign(request: Asking) -> models.Changed:
    """New codes, and ones that were returned long enough ago."""
    wish = body(request, _ASSIGN)
    return await _do(request, lambda desk: codes.assign(desk, parse_codes(wish.codes), wish.certificate))


@post(summary="Open codes in provinces", **_step("open", models.OpenRequest))
async def open_(request: Asking) -> models.Changed:
    """Their carrier has opened them there, too."""
    wish = body(request, _OPEN)
    where = [parse_province(name) for name in wish.provinces]
    return await _do(request, lambda desk: codes.open_(desk, parse_codes(wish.codes), where))


@post(summary="Close codes in provinces", **_step("close", models.OpenRequest))
async def close(request: Asking) -> models.Changed:
    """Nothing new is bound on them there; what is bound goes on."""
    wish = body(request, _OPEN)
    where = [parse_province(name) for name in wish.provinces]
    return await _do(request, lambda desk: codes.close(desk, parse_codes(wish.codes), where))


@post(summary="Give codes to a tenant", **_step("give", models.GiveRequest))
async def give(request: Asking) -> models.Changed:
    """A tenant of the codes' own application platform; to another's they are not handed on."""
    wish = body(request, _GIVE)
    return await _do(request, lambda desk: codes.give(desk, parse_codes(wish.codes), wish.tenant))


@post(summary="Drain codes", **_step("drain", models.CodesRequest))
async def drain(request: Asking) -> models.Changed:
    """Nothing new is bound on them; what is bound is served to its end."""
    wish = body(request, _CODES)
    return await _do(request, lambda desk: codes.drain(desk, parse_codes(wish.codes)))


@post(summary="Call a drain off", **_step("resume", models.CodesRequest))
async def resume(request: Asking) -> models.Changed:
    """They are in use again."""
    wish = body(request, _CODES)
    return await _do(request, lambda desk: codes.resume(desk, parse_codes(wish.codes)))


@post(summary="Return codes", **_step("return", models.CodesRequest))
async def return_(request: Asking) -> models.Changed:
    """Once nothing is bound on them or in quarantine."""
    wish = body(request, _CODES)
    return await _do(request, lambda desk: codes.return_(desk, parse_codes(wish.codes)))


@post(summary="Set codes aside", **_step("set-aside", models.SetAsideRequest))
async def set_aside(request: Asking) -> models.Changed:
    """Nothing new is bound on codes that fail somewhere; live bindings are not touched."""
    wish = body(request, _SET_ASIDE)
    which = parse_codes(wish.codes or ())
    return await _do(request, lambda desk: codes.set_aside(desk, which, wish.why, carrier=wish.carrier))


@post(summary="Undo setting aside", **_step("restore", models.RestoreRequest))
async def restore(request: Asking) -> models.Changed:
    """They work again."""
    wish = body(request, _RESTORE)
    which = parse_codes(wish.codes or ())
    return await _do(request, lambda desk: codes.restore(desk, which, carrier=wish.carrier))


async def _do(request: Asking, act: Callable[[Desk], Awaitable[int]]) -> models.Changed:
    return models.Changed(await perform(request, act))


HANDLERS: Final = (list_all, assign, open_, close, give, drain, resume, return_, set_aside, restore)
