"""``qibai calls``."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, Whose, config_of
from qibai.cli.output import as_json, out, table
from qibai.cli.remote import Remote, remote
from qibai.core.errors import BadRequest

_POLL_S: Final = 1.0
_LATE: Final = timedelta(minutes=1)
_COLUMNS: Final = ("call", "called", "shown", "started_at", "duration_ms", "ended_by", "reason")


def calls(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(envvar="QIBAI_LIMIT", min=1, max=1000, help="At most so many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
    tenant: Whose = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """List call records, newest first; --follow prints each new or changed one as it comes.

    Example: qibai calls --follow
    """
    if tenant is not None and follow:
        raise BadRequest("only a tenant follows its own calls", field="follow")
    with remote(config_of(ctx), api_url, api_key) as api:
        if follow:
            for one in _changes(api, limit):
                if json:
                    as_json(one)
                else:
                    out.print("  ".join("–" if cell is None else str(cell) for cell in _row(one)))
            return
        found = api.calls(limit) if tenant is None else api.of_tenant(tenant, "calls", limit=limit)
        if json:
            as_json(found)
        else:
            table(_COLUMNS, (_row(one) for one in found))


def _changes(api: Remote, limit: int) -> Iterator[dict[str, Any]]:
    """The newest ``limit``, then each record that comes or changes, without end."""
    found = api.calls(limit)
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
        found = api.calls_since(recent) + api.calls_since(begin, live=True)
        found += [api.call(id) for id in running.difference(one["id"] for one in found)]


def _started(one: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(one["started_at"])


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    return (one["id"], *(one.get(name) for name in _COLUMNS[1:]))


COMMANDS = {"calls": calls}
