"""Papers of application platforms: approvals (试点批文) and code-resource certificates (码号资源使用证书)."""

from datetime import date, datetime

from qibai.core.roles import Action
from qibai.service.desk import Desk, by_the_rules
from qibai.store import resources
from qibai.store.resources import Kind, Paper, PaperRow, list_papers

__all__ = ["Kind", "Paper", "PaperRow", "add", "leave_early", "list_papers", "renew", "revoke"]


async def add(desk: Desk, kind: Kind, platform: str, paper: Paper) -> None:
    """Enter a paper of an application platform. Raise NotHere, Conflict, BadRequest."""
    await resources.add_paper(desk.conn, kind, platform, paper)
    await desk.enter_change(
        "add",
        f"{kind}:{paper.number}",
        platform=platform,
        first_day=paper.first_day.isoformat(),
        last_day=paper.last_day.isoformat(),
        provinces=[province.code for province in paper.provinces],
    )


async def renew(desk: Desk, kind: Kind, number: str, last_day: date) -> None:
    """Let a paper hold until a later day, Beijing time. Raise NotHere, StepRefused, BadRequest."""
    await resources.renew(desk.conn, kind, number, last_day)
    await desk.enter_change("renew", f"{kind}:{number}", last_day=last_day.isoformat())


async def revoke(desk: Desk, kind: Kind, number: str, *, why: str, at: datetime | None = None) -> datetime:
    """Revoke a paper: new binds stop at once, calls after the grace (``pilot.grace_s``). Takes two persons.

    ``at``: from when on, else now. Returns from when on. Raise NotHere, StepRefused, BadRequest.
    """
    params = {"kind": kind, "number": number, "why": why, "at": at}
    permit = await desk.second(Action.PAPER_REVOKE, params, why)
    since = by_the_rules(at)
    await resources.revoke(desk.conn, kind, number, at=since, why=why)
    details = permit.details | {"what": "revoke", "why": why, "at": since}
    await desk.enter(Action.PAPER_REVOKE, f"{kind}:{number}", **details)
    return since


async def leave_early(desk: Desk, number: str, *, at: datetime | None = None) -> datetime:
    """Enter an early exit of an approval's holder: nothing new is bound from then on, what is bound runs out.

    ``at``: from when on, else now. Returns from when on. Raise NotHere, StepRefused, BadRequest.
    """
    since = by_the_rules(at)
    await resources.leave_early(desk.conn, number, at=since)
    await desk.enter_change("exit", f"approval:{number}", at=since)
    return since
