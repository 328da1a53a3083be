"""What happened lately, counted from the records: for ``/v1/stats`` and ``qibai stats``.

Calls and messages are found by tenant and id, which grows with time, so a count reads no more than its span.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from qibai.core import figures
from qibai.core.figures import CallTally, CodeHeadroom, LinkFigures, Statistics, TenantBindings
from qibai.core.numbering import SERIALS_PER_CODE, Code
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.statements import load

MOST_CODES: Final = 20
_SQL: Final = load("stats")
_ID_BITS: Final = 21  #: of a row's id are not milliseconds
_SLACK: Final = timedelta(hours=1)  #: nodes' clocks may differ


async def read(
    conn: Connection,
    last: timedelta,
    *,
    tenant: int | None = None,
    platform: int | None = None,
) -> Statistics:
    """The figures of the ``last`` hour or so of one tenant, of the tenants of one platform, or of all.

    Raise StoreUnavailable, SchemaError.
    """
    with own_errors():
        async with conn.transaction():
            rows = await _rows(conn, "span", {"seconds": last.total_seconds()})
            since, until = rows[0]
            who = {"tenant_id": tenant, "platform_id": platform}
            scope = {
                "since": since,
                "first_id": _first_id(since - _SLACK),
                "tenants": [id for (id,) in await _rows(conn, "tenants", who)],
                "everyone": tenant is None and platform is None,
                "most": MOST_CODES,
            }
            tallies = [CallTally(*row) for row in await _rows(conn, "calls", scope)]
            (delays,) = await _rows(conn, "delays", scope)
            gave_up = await _rows(conn, "gave_up", scope)
            links = await _rows(conn, "links", scope)
        bindings = await _patiently(conn, "bindings", scope)
        codes = await _patiently(conn, "codes", scope)
    return Statistics(
        since=since,
        until=until,
        calls=figures.call_figures(tallies, delays),
        reasons=figures.reason_counts(tallies),
        peers=figures.peer_figures(tallies, gave_up),
        sources=figures.source_figures(tallies),
        links=_links(links),
        bindings=None if bindings is None else [TenantBindings(*row) for row in bindings],
        codes=None if codes is None else [_headroom(*row) for row in codes],
    )


async def _rows(conn: Connection, name: str, params: dict[str, Any]) -> list[Any]:
    return await (await conn.execute(_SQL[name], params)).fetchall()


async def _patiently(conn: Connection, name: str, params: dict[str, Any]) -> list[Any] | None:
    """The rows; None when they take more than two seconds."""
    try:
        async with conn.transaction():
            await conn.execute(_SQL["patience"])
            return await _rows(conn, name, params)
    except psycopg.errors.QueryCanceled:
        return None


def _headroom(code: int, tenant: str | None, free: int) -> CodeHeadroom:
    return CodeHeadroom(code=str(Code(code)), tenant=tenant, free=free, total=SERIALS_PER_CODE)


def _links(rows: Iterable[tuple[str | None, str | None, str, bool, int]]) -> list[LinkFigures]:
    found: dict[str, dict[str, int]] = {}

    def add(link: str | None, what: str, count: int) -> None:
        counts = found.setdefault(link or "", {})
        counts[what] = counts.get(what, 0) + count

    for in_link, out_link, state, in_doubt, count in rows:
        if in_link is not None:
            add(in_link, "refused" if state == "rejected" and out_link is None else "accepted", count)
        if state == "delivered":
            add(out_link, "delivered", count)
        elif state == "unknown" or in_doubt:
            add(out_link, "doubt", count)
        elif state == "expired" or (state == "rejected" and out_link is not None):
            add(out_link, "failed", count)
        elif state == "sent":
            add(out_link, "sent", count)
    names = ("accepted", "refused", "sent", "delivered", "doubt", "failed")
    return [
        LinkFigures(link=link, **{name: counts.get(name, 0) for name in names})
        for link, counts in sorted(found.items())
    ]


def _first_id(at: datetime) -> int:
    """The smallest id that a row of that time can have."""
    return max(0, int(at.timestamp() * 1000)) << _ID_BITS
