"""Ask for figures, and print them."""

import time
from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
import typer

from qibai.cli.database import with_store
from qibai.cli.language import local
from qibai.cli.options import ApiUrl, JsonOut, config_of
from qibai.cli.output import as_json, note, out, say, table
from qibai.cli.remote import remote
from qibai.cli.stats.node import NodeFigures, age, read_node
from qibai.cli.times import shown, span
from qibai.config import Config
from qibai.core.errors import BadRequest
from qibai.core.figures import Statistics
from qibai.service import stats as service
from qibai.service.lender import Connection
from qibai.service.reach import survey_here

_LEAST: Final = timedelta(minutes=1)
_MOST: Final = timedelta(days=7)
_REASONS: Final = 10


def stats(  # noqa: PLR0917  # options
    ctx: typer.Context,
    last: Annotated[str, typer.Option(help="How far the figures reach back: 15min, 1h, 2d.")] = "1h",
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    watch: Annotated[
        int | None, typer.Option(min=1, max=3_600, help="Refresh at this interval, in seconds.")
    ] = None,
    api_url: ApiUrl = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", help="Ask the API, and see what this key sees.")
    ] = None,
    json: JsonOut = False,
) -> None:
    """Show how calls and messages went, why calls failed, what headroom is left, and how this machine does.

    Without --api-key it reads this home's database, as the other commands for operators do.
    Example: qibai stats --last 15min --watch 10
    """
    config, reach = config_of(ctx), span(last, "last")
    if not _LEAST <= reach <= _MOST:
        raise BadRequest("give a span from 1min to 7d", field="last")
    while True:
        if api_key is not None:
            query = {"last": int(reach.total_seconds())} | ({"tenant": tenant} if tenant else {})
            with remote(config, api_url, api_key) as api:
                answer = api.ask("GET", "/v1/stats?" + urlencode(query))
            found, node = msgspec.convert(answer, Statistics), None
        else:
            found, node = _read(config, reach, tenant), read_node(config)
        if json:
            as_json(msgspec.to_builtins(found) | {"node": msgspec.to_builtins(node)})
        else:
            if watch is not None:
                out.clear()
            _print(found, node)
        if watch is None:
            return
        time.sleep(watch)


def _read(config: Config, last: timedelta, tenant: str | None) -> Statistics:
    async def work(conn: Connection) -> Statistics:
        return await service.read(conn, last, await survey_here(conn, tenant))

    return with_store(config, work)


def _print(found: Statistics, node: NodeFigures | None) -> None:
    calls = found.calls
    say("", f"{shown(found.since)} to {shown(found.until)}")
    table(
        ("calls out", "answered", "ASR", "NER", "ACD", "post-dial delay", "under way", "refused"),
        [
            (
                *(calls.seizures, calls.answered, _percent(calls.asr), _percent(calls.ner)),
                _seconds(calls.acd_s),
                _delay(calls.post_dial_delay_s, calls.post_dial_delay_p95_s),
                *(calls.under_way, calls.refused),
            )
        ],
    )
    reasons = found.reasons[:_REASONS]
    _part(
        "why calls were not answered",
        ("reason", "calls", "by"),
        [
            (one.reason, one.count, local("this platform" if one.refused else "the far side"))
            for one in reasons
        ],
    )
    _part(
        "calls to peers",
        ("peer", "tried", "answered", "failed"),
        [(one.peer, one.tried, one.answered, _counts(one.failed)) for one in found.peers],
    )
    _part(
        "calls from peers",
        ("peer", "calls", "answered", "refused"),
        [(one.peer, one.calls, one.answered, _counts(one.refused)) for one in found.sources],
    )
    _part(
        "messages",
        ("link", "accepted", "refused", "sent", "delivered", "in doubt", "failed"),
        [
            (one.link or "none", *(one.accepted, one.refused, one.sent, one.delivered, one.doubt, one.failed))
            for one in found.links
        ],
    )
    _numbers(found)
    if node is not None:
        _node(node)


def _numbers(found: Statistics) -> None:
    if found.bindings is None or found.codes is None:
        note("bindings or numbers are too many to be counted at once: see `qibai pools`")
    _part("live bindings", ("tenant", "bindings"), [(b.tenant, b.bindings) for b in found.bindings or ()])
    _part(
        "codes with the fewest free numbers",
        ("code", "tenant", "free"),
        [(one.code, one.tenant, f"{one.free} of {one.total}") for one in found.codes or ()],
    )


def _node(node: NodeFigures) -> None:
    _part(
        f"machine {node.node}",
        ("part", "pid", "CPU", "CPU time", "memory"),
        [
            (p.part, p.pid, f"{p.cpu_percent} %", f"{p.cpu_s:.0f} s", f"{p.memory_bytes / 1e6:.0f} MB")
            for p in node.parts
        ],
    )
    losses = _counts(node.losses) or "none"
    say(
        f"spool {node.spool_bytes} bytes; last backup {age(node.backup_at)}, last audit anchor "
        f"{age(node.anchor_at)}; call records lost or left out: {losses}"
    )


def _part(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    if rows:
        say("")
        table(columns, rows, title=title)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _percent(ratio: float | None) -> str | None:
    return None if ratio is None else f"{100 * ratio:.1f} %"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _delay(mean: float | None, most: float | None) -> str | None:
    return None if mean is None or most is None else f"{mean:.2f} s, 95 %: {most:.2f} s"
