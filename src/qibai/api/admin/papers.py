"""Approvals and certificates: the same handlers for both kinds."""

from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.handlers import HTTPRouteHandler

from qibai.api.admin import models
from qibai.api.admin.common import body, own_platform, perform, read, to_model
from qibai.api.request import Asking
from qibai.core.numbering import parse_province
from qibai.core.roles import Action
from qibai.service import papers
from qibai.service.papers import Kind, Paper

_PAPER: Final = msgspec.json.Decoder(models.PaperRequest)
_RENEW: Final = msgspec.json.Decoder(models.RenewRequest)
_REVOKE: Final = msgspec.json.Decoder(models.RevokeRequest)
_EXIT: Final = msgspec.json.Decoder(models.ExitRequest)
_CHANGE: Final = Action.RESOURCE_CHANGE


def _handlers(kind: Kind) -> tuple[HTTPRouteHandler, ...]:
    path = f"/v1/admin/{kind}s"
    common: dict[str, Any] = {"tags": ["admin"]}

    @get(
        path,
        operation_id=f"list_{kind}s",
        summary=f"List {kind}s",
        opt={"action": Action.RESOURCE_READ},
        **common,
    )
    async def list_(request: Asking) -> list[models.Paper]:
        """In the order in which they were entered."""
        own = own_platform(request)
        found = await read(request, lambda conn: papers.list_papers(conn, kind, platform=own))
        return [to_model(models.Paper, row) for row in found]

    @post(
        path,
        operation_id=f"add_{kind}",
        summary=f"Enter a {kind}" if kind == "certificate" else f"Enter an {kind}",
        opt={"action": _CHANGE, "body": models.PaperRequest},
        **common,
    )
    async def add(request: Asking) -> models.Paper:
        """Of an application platform; its latest approval is the one that counts."""
        wish = body(request, _PAPER)
        provinces = [parse_province(name) for name in wish.provinces]
        paper = Paper(wish.number, provinces, wish.first_day, wish.last_day)
        await perform(request, lambda desk: papers.add(desk, kind, wish.platform, paper))
        return await _one(request, kind, wish.number)

    @post(
        f"{path}/renew",
        operation_id=f"renew_{kind}",
        summary=f"Renew: {kind}",
        status_code=200,
        opt={"action": _CHANGE, "body": models.RenewRequest},
        **common,
    )
    async def renew(request: Asking) -> models.Paper:
        """Let it hold until a later day."""
        wish = body(request, _RENEW)
        await perform(request, lambda desk: papers.renew(desk, kind, wish.number, wish.last_day))
        return await _one(request, kind, wish.number)

    @post(
        f"{path}/revoke",
        operation_id=f"revoke_{kind}",
        summary=f"Revoke: {kind}",
        status_code=200,
        opt={"action": Action.PAPER_REVOKE, "body": models.RevokeRequest},
        **common,
    )
    async def revoke(request: Asking) -> models.Paper:
        """New binds stop at once, calls after the grace. Takes two persons."""
        wish = body(request, _REVOKE)
        await perform(request, lambda desk: papers.revoke(desk, kind, wish.number, why=wish.why, at=wish.at))
        return await _one(request, kind, wish.number)

    return list_, add, renew, revoke


@post(
    "/v1/admin/approvals/exit",
    operation_id="leave_early",
    summary="Enter an early exit",
    tags=["admin"],
    status_code=200,
    opt={"action": _CHANGE, "body": models.ExitRequest},
)
async def leave(request: Asking) -> models.Paper:
    """From then on nothing new is bound; what is bound runs out."""
    wish = body(request, _EXIT)
    await perform(request, lambda desk: papers.leave_early(desk, wish.number, at=wish.at))
    return await _one(request, "approval", wish.number)


async def _one(request: Asking, kind: Kind, number: str) -> models.Paper:
    found = await read(request, lambda conn: papers.list_papers(conn, kind))
    return next(to_model(models.Paper, row) for row in found if row.number == number)


HANDLERS: Final = (*_handlers("approval"), *_handlers("certificate"), leave)
