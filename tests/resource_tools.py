"""Application platforms with papers, tenants and codes for tests, and the rules that they are asked under."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from binding_tools import NOW, item
from qibai.core.numbering import PILOT_PROVINCES, Code, Province, parse_province
from qibai.core.pilot import ApplicationState, Calendar, Rules
from qibai.store import resources, tenants
from qibai.store.bindings import BindItem, Entitlement, bind_many
from qibai.store.keys import Keyring
from qibai.store.resources import Paper

NOTICE = date(2025, 7, 15)
GRACE = timedelta(hours=1)
RULES = Rules(Calendar(NOTICE), GRACE.total_seconds())
FIRST, LAST = date(2025, 10, 15), date(2028, 1, 14)
GUANGDONG, SHANGHAI = parse_province("44"), parse_province("31")
QUARANTINE = timedelta(hours=1)


@dataclass
class Enterprise:
    """An application platform with one tenant; names of papers are made from its own."""

    name: str
    tenant_id: int
    codes: list[Code]
    entitlement: Entitlement

    @property
    def approval(self) -> str:
        return f"批-{self.name}"

    @property
    def certificate(self) -> str:
        return f"证-{self.name}"


async def apply(conn: Any, platform: str, at: datetime, *more: ApplicationState) -> int:
    """An initial application that was submitted, and what more became of it."""
    id = await resources.draft(conn, platform, "initial", at=at)
    for state in (ApplicationState.SUBMITTED, *more):
        await resources.move(conn, id, state, at=at)
    return id


async def enterprise(
    conn: psycopg.AsyncConnection[Any],
    name: str,
    *codes: int,
    rules: Rules = RULES,
    provinces: tuple[Province, ...] = PILOT_PROVINCES,
    days: tuple[date, date] = (FIRST, LAST),
) -> Enterprise:
    """One with all its papers, whose codes are open everywhere that these name."""
    await resources.add_platform(conn, name)
    tenant = await tenants.add_tenant(conn, f"{name}-shop")
    made = Enterprise(name, tenant.id, [Code(code) for code in codes], Entitlement(tenant.id, rules))
    await resources.place_tenant(conn, tenant.name, name)
    granted = (ApplicationState.ACCEPTED, ApplicationState.GRANTED)
    await apply(conn, name, datetime(2025, 10, 15, tzinfo=UTC), *granted)
    await resources.add_paper(conn, "approval", name, Paper(made.approval, provinces, *days))
    await resources.add_paper(conn, "certificate", name, Paper(made.certificate, provinces, *days))
    if codes:
        await resources.assign(conn, made.codes, made.certificate, now=NOW, quarantine=QUARANTINE)
        await resources.give(conn, made.codes, tenant.name, now=NOW)
        await resources.open_(conn, made.codes, provinces)
    return made


async def try_bind(
    conn: Any, keyring: Keyring, who: Enterprise, *items: BindItem, now: datetime = NOW
) -> list[Any]:
    """What becomes of binds in the enterprise's name; one bind of two fresh parties if none are given."""
    return list(
        await bind_many(
            conn, keyring, who.tenant_id, who.entitlement, items or [item()], now=now, quarantine=QUARANTINE
        )
    )


async def outcome(
    conn: Any, keyring: Keyring, who: Enterprise, one: BindItem | None = None, *, now: datetime = NOW
) -> str:
    """``bound``, or the rule or code of what refused one bind."""
    (answer,) = await try_bind(conn, keyring, who, one or item(), now=now)
    return (
        str(getattr(answer, "rule", None) or getattr(answer, "code", "bound"))
        if isinstance(answer, Exception)
        else "bound"
    )
