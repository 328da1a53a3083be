"""Applications of application platforms (应用平台): for papers or codes, to return codes, to leave."""

from datetime import date, datetime, timedelta
from typing import Any

from qibai.core.numbering import ranges_of
from qibai.core.pilot import ApplicationState
from qibai.service.desk import Desk, by_the_rules
from qibai.store import resources
from qibai.store.resources import Outcome, history, list_applications

__all__ = ["Outcome", "draft", "grant", "history", "list_applications", "move"]


async def draft(desk: Desk, platform: str, kind: str, *, note: str = "", at: datetime | None = None) -> int:
    """Draft an application and return its id. ``at``: when it was drafted, else now.

    Raise NotHere, BadRequest.
    """
    resources.require_past(at)
    id = await resources.draft(desk.conn, platform, kind, at=by_the_rules(at), note=note)
    await desk.enter_change("draft", f"platform:{platform}", kind=kind)
    return id


async def move(
    desk: Desk, id: int, to: ApplicationState, *, at: datetime | None = None, reason: str | None = None
) -> None:
    """Record the next step of an application: a refusal with its ``reason``; ``grant`` is for grants.

    Raise NotHere, StepRefused, BadRequest.
    """
    resources.require_past(at)
    await resources.move(desk.conn, id, to, at=by_the_rules(at), reason=reason)
    await desk.enter_change(to.value, f"application:{id}", reason=reason)


async def grant(desk: Desk, id: int, outcome: Outcome, *, at: datetime | None = None) -> list[str]:
    """Record that an application was granted, and enter what came of it; returns what was entered, in words.

    Raise NotHere, StepRefused, Conflict, SubLease, BadRequest.
    """
    resources.require_past(at)
    rest = timedelta(days=desk.config.pilot.code_quarantine_days)
    did = await resources.grant(desk.conn, id, outcome, resources.Terms(by_the_rules(at), rest))
    await desk.enter_change("granted", f"application:{id}", **_details(outcome))
    return did


def _details(outcome: Outcome) -> dict[str, Any]:
    details: dict[str, Any] = {
        "approval": outcome.approval,
        "certificate": outcome.certificate,
        "provinces": [province.code for province in outcome.provinces],
        "first_day": _day(outcome.first_day),
        "last_day": _day(outcome.last_day),
        "codes": ranges_of(outcome.codes),
        "exit_at": outcome.exit_at,
    }
    return {name: value for name, value in details.items() if value}


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
