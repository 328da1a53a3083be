"""Approvals and certificates: the same handlers for both kinds."""

from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.handlers import HTTPRouteHandler

from qibai.api.admin import models
from qibai.api.admin.common import body, change, own_platform, read, rules_now, to_model
from qibai.api.admin.dual import twofold
from qibai.api.connections import Connection
from qibai.api.gate import asked
from qibai.api.handlers import Asking
from qibai.core.numbering import parse_province
from qibai.core.roles import Action
from qibai.store import audit, resources
from qibai.store.dual import Permit, Wanted
from qibai.store.resources import Kind, Paper

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
        found = await read(request, lambda conn: resources.list_papers(conn, kind, platform=own))
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
        said = body(request, _PAPER)
        paper = Paper(
            said.number, [parse_province(name) for name in said.provinces], said.first_day, said.last_day
        )
        await change(
            request,
            "add",
            f"{kind}:{said.number}",
            lambda conn: resources.add_paper(conn, kind, said.platform, paper),
            platform=said.platform,
            first_day=said.first_day,
            last_day=said.last_day,
            provinces=[province.code for province in paper.provinces],
        )
        return await _one(request, kind, said.number)

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
        said = body(request, _RENEW)
        await change(
            request,
            "renew",
            f"{kind}:{said.number}",
            lambda conn: resources.renew(conn, kind, said.number, said.last_day),
            last_day=said.last_day,
        )
        return await _one(request, kind, said.number)

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
        said = body(request, _REVOKE)
        exactly = {"kind": kind, "number": said.number, "why": said.why, "at": said.at}

        async def work(conn: Connection, permit: Permit) -> None:
            at = rules_now(said.at)
            await resources.revoke(conn, kind, said.number, at=at, why=said.why)
            told = permit.details | {"what": "revoke", "why": said.why, "at": at}
            actor = asked(request.scope).principal.actor
            await audit.record(conn, actor, Action.PAPER_REVOKE, f"{kind}:{said.number}", **told)

        await twofold(request, Wanted(Action.PAPER_REVOKE, exactly, said.why), work)
        return await _one(request, kind, said.number)

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
    said = body(request, _EXIT)
    at = rules_now(said.at)
    await change(
        request,
        "exit",
        f"approval:{said.number}",
        lambda conn: resources.leave_early(conn, said.number, at=at),
    )
    return await _one(request, "approval", said.number)


async def _one(request: Asking, kind: Kind, number: str) -> models.Paper:
    found = await read(request, lambda conn: resources.list_papers(conn, kind))
    return next(to_model(models.Paper, row) for row in found if row.number == number)


HANDLERS: Final = (*_handlers("approval"), *_handlers("certificate"), leave)
