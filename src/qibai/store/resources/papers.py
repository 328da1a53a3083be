"""Approvals (试点批文) and code-resource certificates (码号资源使用证书)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import psycopg

from qibai.core.errors import BadRequest, Conflict, NotHere, StepRefused
from qibai.core.masking import mask_text
from qibai.core.numbering import Province
from qibai.core.typed import checked_name
from qibai.store.connection import Connection
from qibai.store.resources.platforms import platform_id
from qibai.store.resources.session import changing, plausible, row, rows, run

Kind = Literal["approval", "certificate"]


@dataclass(frozen=True, slots=True)
class Paper:
    """What a paper says: its number, the provinces and the days that it is for (both days included)."""

    number: str
    provinces: Sequence[Province]
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A paper as stored; ``exit_at`` only on approvals. Provinces are GB/T 2260, two digits."""

    platform: str
    number: str
    provinces: list[str]
    first_day: date
    last_day: date
    revoked_at: datetime | None
    revoked_why: str | None
    exit_at: datetime | None


async def add_paper(conn: Connection, kind: Kind, platform: str, paper: Paper) -> None:
    """Enter a paper. The latest approval of a platform is the one that counts.

    Raise NotHere, Conflict (the number is taken), BadRequest, BadName, NumberNotAllowed.
    """
    checked_name(paper.number, "number")
    plausible(paper.first_day, "first_day")
    plausible(paper.last_day, "last_day")
    if paper.last_day < paper.first_day:
        raise BadRequest("the last day is before the first", field="last_day")
    if not paper.provinces:
        raise BadRequest("a paper is for at least one province", field="provinces")
    try:
        async with changing(conn):
            await run(
                conn,
                f"add_{kind}",
                platform=await platform_id(conn, platform),
                number=paper.number,
                provinces=sorted(province.code for province in paper.provinces),
                first_day=paper.first_day,
                last_day=paper.last_day,
            )
    except psycopg.errors.UniqueViolation:
        raise Conflict("a paper of this number was entered already", field="number") from None


async def renew(conn: Connection, kind: Kind, number: str, last_day: date) -> None:
    """Let a paper that was not revoked hold until a later day. Raise NotHere, StepRefused."""
    plausible(last_day, "last_day")
    await _change(conn, kind, "renew", number, "it was revoked, or holds as long already", last_day=last_day)


async def revoke(conn: Connection, kind: Kind, number: str, *, at: datetime, why: str) -> None:
    """Revoke a paper: no new binds from ``at``, calls end after the grace. Raise NotHere, StepRefused."""
    plausible(at, "at")
    await _change(conn, kind, "revoke", number, "it was revoked already", at=at, why=mask_text(why))


async def leave_early(conn: Connection, number: str, *, at: datetime) -> None:
    """Let an early exit take effect at ``at``: nothing new is bound, what is bound runs out."""
    plausible(at, "at")
    await _change(conn, "approval", "exit", number, "an early exit was entered already", at=at)


async def list_papers(conn: Connection, kind: Kind, *, platform: str | None = None) -> list[PaperRow]:
    """Papers in the order in which they were entered."""
    return await rows(conn, PaperRow, f"list_{kind}s", platform=platform)


async def _change(conn: Connection, kind: Kind, what: str, number: str, else_: str, **params: object) -> None:
    async with changing(conn):
        if not await run(conn, f"{what}_{kind}", number=number, **params):
            if await row(conn, f"exists_{kind}", number=number) is None:
                raise NotHere(f"there is no {kind} of this number", field="number")
            raise StepRefused(f"this {kind} cannot be changed so: {else_}")
