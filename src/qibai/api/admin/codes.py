"""The life of codes."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import body, change, own_platform, ranges, read, rules_now
from qibai.api.connections import Connection
from qibai.api.decode import no_nulls
from qibai.api.handlers import Asking, services_of
from qibai.core.errors import BadRequest
from qibai.core.numbering import Code, parse_province
from qibai.core.roles import Action
from qibai.store import codes as stored
from qibai.store import resources

_CODES: Final = msgspec.json.Decoder(models.CodesRequest)
_ASSIGN: Final = msgspec.json.Decoder(models.AssignRequest)
_OPEN: Final = msgspec.json.Decoder(models.OpenRequest)
_GIVE: Final = msgspec.json.Decoder(models.GiveRequest)
_SET_ASIDE: Final = msgspec.json.Decoder(models.SetAsideRequest)
_RESTORE: Final = msgspec.json.Decoder(models.RestoreRequest)
Work = Callable[[Connection, list[Code]], Awaitable[int]]


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
        request, lambda conn: stored.list_codes(conn, platform=own, after=after, limit=limit + 1)
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
    said = body(request, _ASSIGN)
    quarantine = timedelta(days=services_of(request).config.pilot.code_quarantine_days)

    def work(conn: Connection, codes: list[Code]) -> Awaitable[int]:
        return resources.assign(conn, codes, said.certificate, now=rules_now(None), quarantine=quarantine)

    return await _do(request, "assign", said.codes, work, certificate=said.certificate)


@post(summary="Open codes in provinces", **_step("open", models.OpenRequest))
async def open_(request: Asking) -> models.Changed:
    """Their carrier has opened them there, too."""
    said = body(request, _OPEN)
    where = [parse_province(name) for name in said.provinces]
    work: Work = lambda conn, codes: resources.open_(conn, codes, where)  # noqa: E731
    return await _do(request, "open", said.codes, work, provinces=said.provinces)


@post(summary="Close codes in provinces", **_step("close", models.OpenRequest))
async def close(request: Asking) -> models.Changed:
    """Nothing new is bound on them there; what is bound goes on."""
    said = body(request, _OPEN)
    where = [parse_province(name) for name in said.provinces]
    work: Work = lambda conn, codes: resources.close(conn, codes, where)  # noqa: E731
    return await _do(request, "close", said.codes, work, provinces=said.provinces)


@post(summary="Give codes to a tenant", **_step("give", models.GiveRequest))
async def give(request: Asking) -> models.Changed:
    """A tenant of the codes' own application platform; to another's they are not handed on."""
    said = body(request, _GIVE)

    def work(conn: Connection, codes: list[Code]) -> Awaitable[int]:
        return resources.give(conn, codes, said.tenant, now=datetime.now(UTC))

    return await _do(request, "give", said.codes, work, tenant=said.tenant)


@post(summary="Drain codes", **_step("drain", models.CodesRequest))
async def drain(request: Asking) -> models.Changed:
    """Nothing new is bound on them; what is bound is served to its end."""
    return await _do(request, "drain", body(request, _CODES).codes, resources.drain)


@post(summary="Call a drain off", **_step("resume", models.CodesRequest))
async def resume(request: Asking) -> models.Changed:
    """They are in use again."""
    return await _do(request, "resume", body(request, _CODES).codes, resources.resume)


@post(summary="Return codes", **_step("return", models.CodesRequest))
async def return_(request: Asking) -> models.Changed:
    """Once nothing is bound on them or in quarantine."""

    def work(conn: Connection, codes: list[Code]) -> Awaitable[int]:
        return resources.return_(conn, codes, now=datetime.now(UTC), at=rules_now(None))

    return await _do(request, "return", body(request, _CODES).codes, work)


@post(summary="Set codes aside", **_step("set-aside", models.SetAsideRequest))
async def set_aside(request: Asking) -> models.Changed:
    """Nothing new is bound on codes that fail somewhere; live bindings are not touched."""
    said = body(request, _SET_ASIDE)

    async def work(conn: Connection, codes: list[Code]) -> int:
        return len(await resources.set_aside(conn, await _chosen(conn, codes, said.carrier), said.why))

    codes = _one_of(said.codes, said.carrier)
    return await _do(request, "set aside", codes, work, carrier=said.carrier, why=said.why)


@post(summary="Undo setting aside", **_step("restore", models.RestoreRequest))
async def restore(request: Asking) -> models.Changed:
    """They work again."""
    said = body(request, _RESTORE)

    async def work(conn: Connection, codes: list[Code]) -> int:
        return len(await resources.restore(conn, await _chosen(conn, codes, said.carrier)))

    return await _do(request, "restore", _one_of(said.codes, said.carrier), work, carrier=said.carrier)


async def _do(request: Asking, what: str, which: list[str], work: Work, **details: Any) -> models.Changed:
    codes = ranges(which)
    return models.Changed(
        await change(request, what, "codes", lambda conn: work(conn, codes), codes=which, **details)
    )


async def _chosen(conn: Connection, codes: list[Code], carrier: int | None) -> list[Code]:
    return codes if carrier is None else await resources.choose(conn, carrier=carrier)


def _one_of(codes: list[str] | None, carrier: int | None) -> list[str]:
    if (codes is None) == (carrier is None):
        raise BadRequest("give codes, or a carrier", field="codes")
    return codes or []


HANDLERS: Final = (list_all, assign, open_, close, give, drain, resume, return_, set_aside, restore)
