"""What follows when an application is granted: papers, codes, an early exit, a renewal."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Final

from qibai.core.errors import BadRequest, NotHere, SubLease
from qibai.core.numbering import Code, Province
from qibai.core.pilot import ApplicationState
from qibai.core.times import utc_text
from qibai.store.connection import Connection
from qibai.store.resources.applications import move
from qibai.store.resources.codes import assign, drain
from qibai.store.resources.papers import Kind, Paper, add_paper, leave_early, renew
from qibai.store.resources.session import SQL, changing, row


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was granted, as far as it is entered along with the grant; the rest can be entered by itself.

    ``approval``, ``certificate``: numbers of papers, ``provinces`` and days for new ones; ``last_day`` alone
    renews. ``codes`` are assigned (supplement, initial) or drained (return).
    """

    approval: str | None = None
    certificate: str | None = None
    provinces: Sequence[Province] = ()
    first_day: date | None = None
    last_day: date | None = None
    codes: Sequence[Code] = ()
    exit_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """When it is granted, and how long returned codes rest before they are assigned again."""

    at: datetime
    quarantine: timedelta


_PAPER: Final = frozenset({"certificate", "provinces", "first_day", "last_day", "codes"})
_TAKES: Final = {
    "initial": _PAPER | {"approval"},
    "supplement": _PAPER,
    "return": frozenset({"codes"}),
    "early_exit": frozenset({"approval", "exit_at"}),
    "renewal": frozenset({"approval", "certificate", "last_day"}),
}


async def grant(conn: Connection, id: int, outcome: Outcome, terms: Terms) -> list[str]:
    """Grant an application and do what follows, all or nothing; returns what was done, a phrase each.

    initial: enter the papers, assign the codes by the certificate. supplement: the same with a certificate,
    new or there already. return: drain the codes. early_exit: let it take effect at ``exit_at``, else at
    once, and then drain all codes. renewal: let the papers named, else all that count, hold until
    ``last_day``. Raise NotHere, StepRefused, Conflict, SubLease, BadRequest.
    """
    async with changing(conn):
        found = await row(conn, "application_of", id=id)
        if found is None:
            raise NotHere("there is no application of this id", field="id")
        await move(conn, id, ApplicationState.GRANTED, at=terms.at)
        granting = _Granting(conn, found[0], found[1], outcome, terms)
        kind: str = found[2]
        for field in fields(outcome):
            if getattr(outcome, field.name) and field.name not in _TAKES[kind]:
                raise BadRequest(f"an application of the kind {kind} has no such outcome", field=field.name)
        if kind == "renewal":
            await granting.renewal()
        elif kind == "return":
            await granting.drained(list(outcome.codes))
        elif kind == "early_exit":
            await granting.early_exit()
        else:
            await granting.papers_and_codes()
        return granting.did


class _Granting:
    def __init__(
        self, conn: Connection, platform_id: int, platform: str, outcome: Outcome, terms: Terms
    ) -> None:
        self._conn, self._platform_id, self._platform = conn, platform_id, platform
        self._outcome, self._terms = outcome, terms
        self.did: list[str] = []

    async def papers_and_codes(self) -> None:
        outcome = self._outcome
        if outcome.approval is not None:
            await self._paper("approval", outcome.approval)
        certificate = outcome.certificate
        if certificate is not None and not await self._holds(certificate):
            await self._paper("certificate", certificate)
        if outcome.codes:
            if certificate is None:
                raise BadRequest("codes are assigned by a certificate: name it", field="certificate")
            terms = self._terms
            count = await assign(
                self._conn, outcome.codes, certificate, now=terms.at, quarantine=terms.quarantine
            )
            self.did.append(f"{count} codes assigned by {certificate}")

    async def renewal(self) -> None:
        outcome, named = self._outcome, False
        if outcome.last_day is None:
            return
        for kind, number in (("approval", outcome.approval), ("certificate", outcome.certificate)):
            if number is not None:
                named = True
                await self._renew("approval" if kind == "approval" else "certificate", number)
        if not named:
            for kind, number in await self._papers_before(outcome.last_day):
                await self._renew("approval" if kind == "approval" else "certificate", number)

    async def early_exit(self) -> None:
        at = self._outcome.exit_at or self._terms.at
        number = self._outcome.approval or await self._latest_approval()
        await self._must_hold("approval", number)
        await leave_early(self._conn, number, at=at)
        self.did.append(f"early exit from {utc_text(at)}")
        if at <= self._terms.at:
            cur = await self._conn.execute(SQL["codes_of_platform"], {"platform": self._platform_id})
            await self.drained([Code(value) for (value,) in await cur.fetchall()])

    async def drained(self, codes: list[Code]) -> None:
        """Those of them that are open; the others have nothing that could run out."""
        values = {"codes": [code.value for code in codes]}
        cur = await self._conn.execute(SQL["whose_codes"], values)
        held = {code: (state, platform) for code, state, platform in await cur.fetchall()}
        for code in codes:
            if code.value not in held:
                raise NotHere(f"{code} is not a code of this platform", field="codes")
            if held[code.value][1] != self._platform_id:
                raise SubLease(f"{code} is not {self._platform}'s")
        opened = [code for code in codes if held[code.value][0] in ("opened", "in_use")]
        if opened:
            self.did.append(f"{await drain(self._conn, opened)} codes draining")

    async def _paper(self, kind: Kind, number: str) -> None:
        outcome = self._outcome
        if outcome.first_day is None or outcome.last_day is None or not outcome.provinces:
            raise BadRequest(f"a new {kind} has provinces, a first and a last day", field=kind)
        paper = Paper(number, outcome.provinces, outcome.first_day, outcome.last_day)
        await add_paper(self._conn, kind, self._platform, paper)
        self.did.append(f"{kind} {number} entered")

    async def _renew(self, kind: Kind, number: str) -> None:
        if self._outcome.last_day is not None:
            await self._must_hold(kind, number)
            await renew(self._conn, kind, number, self._outcome.last_day)
            self.did.append(f"{kind} {number} holds until {self._outcome.last_day}")

    async def _must_hold(self, kind: Kind, number: str) -> None:
        """Raise NotHere, or SubLease when the paper is another application platform's."""
        found = await row(self._conn, f"holder_of_{kind}", number=number)
        if found is None:
            raise NotHere(f"there is no {kind} of this number", field=kind)
        if found[0] != self._platform_id:
            raise SubLease(f"this {kind} is another application platform's")

    async def _holds(self, certificate: str) -> bool:
        if await row(self._conn, "holder_of_certificate", number=certificate) is None:
            return False
        await self._must_hold("certificate", certificate)
        return True

    async def _latest_approval(self) -> str:
        found = await row(self._conn, "latest_approval", platform=self._platform_id)
        if found is None:
            raise NotHere("this application platform has no approval to leave", field="approval")
        return str(found[0])

    async def _papers_before(self, last_day: date) -> list[tuple[str, str]]:
        params = {"platform": self._platform_id, "last_day": last_day}
        cur = await self._conn.execute(SQL["papers_before"], params)
        return [(kind, number) for kind, number in await cur.fetchall()]
