"""``qibai calls``."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, Reveal, Whose, config_of
from qibai.cli.output import as_json, say, table
from qibai.cli.remote import Refused, Remote, remote
from qibai.cli.times import FORM, instant, shown
from qibai.core.errors import BadRequest
from qibai.core.numbering import Number700

_POLL_S: Final = 1.0
_LATE: Final = timedelta(minutes=1)
_COLUMNS: Final = (
    *("call", "called", "shown", "started_at", "duration_ms", "ended_by", "reason"),
    *("sip_status", "caller_peer", "callee_peer"),
)


def calls(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    limit: Annotated[
        int, typer.Option(envvar="QIBAI_LIMIT", min=1, max=1000, help="The most records to list.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
    number: Annotated[str | None, typer.Option(help="Only to this 700 number, or shown as it.")] = None,
    binding: Annotated[str | None, typer.Option(help="Only of this binding.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Only begun since, {FORM}, or 1h: an hour ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Only begun before: as --since.")] = None,
    live: Annotated[
        bool | None, typer.Option("--live/--ended", help="Only running calls, or only ended ones.")
    ] = None,
    refused: Annotated[
        bool | None, typer.Option("--refused/--connected", help="Only those that were refused, or not.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Only those that ended so: busy, not_bound, ….")] = None,
    peer: Annotated[str | None, typer.Option(help="Only those that this peer sent, had or failed.")] = None,
    tenant: Whose = None,
    reveal: Reveal = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """List call records, refused calls too, newest first; --follow prints each new or changed one.

    Real numbers are masked unless --reveal.
    With an operator's or auditor's key: the calls of all tenants, and those that are no tenant's.
    Example: qibai calls --refused --since 1h
    """
    query = {
        "number": None if number is None else str(Number700.parse(number)),
        "binding": binding,
        "since": None if since is None else instant(since, "since"),
        "until": None if until is None else instant(until, "until"),
        "live": live,
        "refused": refused,
        "reason": reason,
        "peer": peer,
        "tenant": tenant,
    }
    if tenant is not None and follow:
        raise BadRequest("only a tenant follows its own calls", field="follow")
    if follow and (since or until or live is not None):
        raise BadRequest(
            "--follow begins now: leave --since, --until, --live and --ended out", field="follow"
        )
    given = {name: value for name, value in query.items() if value is not None}
    with remote(config_of(ctx), api_url, api_key) as api:
        if follow:
            for one in _changes(api, limit, given):
                if json:
                    as_json(one, reveal=reveal)
                else:
                    say("  ".join("–" if cell is None else str(cell) for cell in _row(one)))
            return
        found = _newest(api, limit, given)
        if json:
            as_json(found, reveal=reveal)
        else:
            table(_COLUMNS, (_row(one) for one in found))


def _newest(api: Remote, limit: int, query: dict[str, Any]) -> list[dict[str, Any]]:
    """The newest calls that fit; with a key that is no tenant's, of all tenants unless ``query`` names it."""
    try:
        return api.calls(limit, **query)
    except Refused as exc:
        if exc.field != "tenant" or "tenant" in query:
            raise
    return api.calls(limit, everyone=True, **query)


def _changes(api: Remote, limit: int, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The newest ``limit``, then each record that comes or changes, without end."""
    found = api.calls(limit, **query)
    begin = _started(found[-1]) if found else datetime.fromtimestamp(0, UTC)
    seen: dict[str, dict[str, Any]] = {}
    while True:
        for one in sorted(found, key=_started):
            if seen.get(one["id"]) != one:
                seen[one["id"]] = one
                yield one
        latest = max(map(_started, seen.values()), default=begin)
        recent = max(begin, latest - _LATE)
        running = {id for id, one in seen.items() if not one["ended_at"]}
        seen = {id: one for id, one in seen.items() if id in running or _started(one) >= recent}
        time.sleep(_POLL_S)
        found = api.calls_since(recent, **query) + api.calls_since(begin, live=True, **query)
        found += [api.call(id) for id in running.difference(one["id"] for one in found)]


def _started(one: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(one["started_at"])


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    values = (shown(one[name]) if name.endswith("_at") else one.get(name) for name in _COLUMNS[1:])
    return (one["id"], *values)
