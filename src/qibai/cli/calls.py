"""``qibai calls``."""

import time
from typing import Annotated, Any, Final

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, config_of
from qibai.cli.output import as_json, out, table
from qibai.cli.remote import remote

_POLL_S: Final = 1.0
_COLUMNS: Final = ("call", "called", "shown", "started_at", "duration_ms", "ended_by", "reason")


def calls(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(envvar="QIBAI_LIMIT", min=1, max=1000, help="At most so many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """List call records, newest first; --follow prints each new or changed one as it comes.

    Example: qibai calls --follow
    """
    with remote(config_of(ctx), api_url, api_key) as api:
        found = api.calls(limit)
        if not follow:
            if json:
                as_json(found)
            else:
                table(_COLUMNS, (_row(one) for one in found))
            return
        seen: dict[str, dict[str, Any]] = {}
        while True:
            for one in reversed(found):
                if seen.get(one["id"]) != one:
                    seen[one["id"]] = one
                    if json:
                        as_json(one)
                    else:
                        out.print("  ".join("–" if cell is None else str(cell) for cell in _row(one)))
            time.sleep(_POLL_S)
            found = api.calls(limit)


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    return (one["id"], *(one.get(name) for name in _COLUMNS[1:]))


COMMANDS = {"calls": calls}
