"""``qibai links``."""

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import typer
from rich.text import Text

from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, note, table
from qibai.config import Config
from qibai.core.errors import Unavailable
from qibai.messaging import stats
from qibai.messaging.link import LinkState, LinkStatus

STALE_S = 10.0
_COLOURS = {LinkState.UP: "green", LinkState.DOWN: "red"}


def read_stats(config: Config) -> stats.Stats | None:
    """What the gateway of this home said last; None when none has ever run here."""
    try:
        return msgspec.json.decode((config.run_dir / stats.FILE).read_bytes(), type=stats.Stats)
    except (OSError, msgspec.MsgspecError):
        return None


def links(ctx: typer.Context, json: JsonOut = False) -> None:
    """Show the state of every link for text messages, as this machine's gateway reported it a second ago.

    Example: qibai links
    """
    config = config_of(ctx)
    if not config.messaging.enabled:
        raise Unavailable("text messages are switched off (messaging.enabled)")
    said = read_stats(config)
    if said is None or time.time() - said.at > STALE_S:
        raise Unavailable("the gateway does not run here; start it with `qibai up`, or see `qibai doctor`")
    if json:
        as_json(said.links)
        return
    if not said.links:
        note("no links: add [[messaging.links]] to the configuration, or switch messaging.sip on")
    table(
        (
            "link",
            "protocol",
            "role",
            "peer",
            "state",
            "for",
            "sessions",
            "in flight",
            "in",
            "out",
            "refused",
            "why",
        ),
        (_row(one) for one in said.links),
    )


def _row(one: LinkStatus) -> tuple[Any, ...]:
    colour = _COLOURS.get(one.state, "yellow")
    seconds = int((datetime.now(UTC) - one.since).total_seconds())
    return (
        *(one.name, one.protocol, one.role, one.peer, Text(one.state, style=colour), _span(seconds)),
        *(one.sessions, f"{one.in_flight}/{one.window}", one.received, one.sent, one.refused, one.error),
    )


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"
