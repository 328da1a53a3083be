"""Applications for an approval, for codes, their supplement or return, an early exit, a renewal."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from qibai.core.errors import BadRequest, NotHere, StepRefused
from qibai.core.masking import mask_text
from qibai.core.pilot import ApplicationState, after_application, pilot_time
from qibai.store.connection import Connection
from qibai.store.resources.platforms import platform_id
from qibai.store.resources.session import changing, plausible, row, rows, run

ApplicationKind = Literal["initial", "supplement", "return", "early_exit", "renewal"]
CLOCKS_DIFFER_S: Final = 60.0
KINDS: Final[tuple[str, ...]] = get_args(ApplicationKind)


@dataclass(frozen=True, slots=True)
class Application:
    """An application as it stands; ``reason`` is that of a refusal."""

    id: int
    platform: str
    kind: ApplicationKind
    state: ApplicationState
    note: str
    submitted_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an application's history."""

    state: ApplicationState
    at: datetime
    reason: str | None


async def draft(conn: Connection, platform: str, kind: str, *, at: datetime, note: str = "") -> int:
    """Draft an application and return its id. Raise NotHere, BadRequest."""
    plausible(at, "at")
    if kind not in KINDS:
        raise BadRequest(f"an application is one of {', '.join(KINDS)}", field="kind")
    async with changing(conn):
        owner = await platform_id(conn, platform)
        found = await row(conn, "draft", platform=owner, kind=kind, note=mask_text(note))
        assert found is not None  # noqa: S101  # an INSERT … RETURNING
        await run(conn, "add_step", id=found[0], state="drafted", at=at, reason=None)
    return int(found[0])


async def move(
    conn: Connection, id: int, to: ApplicationState, *, at: datetime, reason: str | None = None
) -> None:
    """Take the next step. Raise NotHere, StepRefused, BadRequest (a refusal without its reason)."""
    plausible(at, "at")
    if (to is ApplicationState.REFUSED) != (reason is not None):
        raise BadRequest("a refusal has a reason, and nothing else has", field="reason")
    async with changing(conn):
        found = await row(conn, "lock_application", id=id)
        if found is None:
            raise NotHere("there is no application of this id", field="id")
        state = ApplicationState(found[2])
        if after_application(state, to) is None:
            raise StepRefused(f"an application that is {state} cannot become {to}")
        before = await row(conn, "last_step", id=id)
        if before is not None and before[0] is not None and at < before[0]:
            raise StepRefused(f"this application became {state} later, at {before[0].astimezone(UTC):%FT%TZ}")
        await run(conn, "move_application", id=id, state=to.value, at=at)
        await run(
            conn,
            "add_step",
            id=id,
            state=to.value,
            at=at,
            reason=None if reason is None else mask_text(reason),
        )


def require_past(at: datetime | None) -> None:
    """Raise BadRequest for a time that is to come, by the clock and by the pilot's rules. None: it is now."""
    now = time.time()
    if at is not None and at.timestamp() > max(now, pilot_time(now)) + CLOCKS_DIFFER_S:
        raise BadRequest("give the time when it happened; it must be in the past", field="at")


async def list_applications(
    conn: Connection, *, platform: str | None = None, state: ApplicationState | None = None
) -> list[Application]:
    """Applications, oldest first."""
    return await rows(
        conn, Application, "list_applications", platform=platform, state=state.value if state else None
    )


async def history(conn: Connection, id: int, *, platform: str | None = None) -> list[Step]:
    """Every step that the application took; none if it is not that of ``platform``, where one is given."""
    return await rows(conn, Step, "steps", id=id, platform=platform)
