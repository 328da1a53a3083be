"""The audit trail, as it is shown."""

from datetime import datetime
from typing import NamedTuple

from qibai.core.trail import Entry, Point
from qibai.store import audit
from qibai.store.connection import Connection


class TrailPage(NamedTuple):
    """Entries, the latest first, and where the chain was when they were read."""

    entries: list[Entry]
    head: Point


async def read(
    conn: Connection,
    *,
    before: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> TrailPage:
    """At most ``limit`` entries with numbers below ``before``. Raise AuditBroken, StoreUnavailable."""
    head = await audit.head(conn)
    entries = await audit.page(
        conn,
        before=before,
        actor=actor,
        action=action,
        subject=subject,
        since=since,
        until=until,
        limit=limit,
    )
    return TrailPage(entries, head)
