"""Look again and again, and show it: on a terminal's whole screen, or as plain text or JSON for programs."""

import signal
import textwrap
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from qibai.cli.address import listen_url
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, note, out, say, table
from qibai.cli.stats.node import age
from qibai.cli.times import shown
from qibai.cli.top.figures import Flow, Look, look_of
from qibai.cli.top.samples import Samples
from qibai.client import NoAnswer
from qibai.client.transport import Transport
from qibai.core.errors import BadRequest, Unavailable

_WINDOW_S: Final = 900.0  #: counts go back so far at most
_KEEP_EVERY_S: Final = 60.0  #: a look takes some memory
_ANSWER_S: Final = 10.0
_REASONS: Final = 5


def top(
    ctx: typer.Context,
    every: Annotated[float, typer.Option(min=1, max=3_600, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, count since the start, and end.")] = False,
    api_url: Annotated[
        str | None, typer.Option("--api-url", help="The API of another node; else this home's.")
    ] = None,
    json: JsonOut = False,
) -> None:
    """Show what this node does just now: calls, peers, refusals, numbers, messages and its parts.

    It reads /metrics of the API, which needs no key from this machine and from the addresses in
    api.metrics_from. Counts are of the last 15 minutes, or since the command was started if that is later.
    Ctrl-C ends it. In a pipe it prints plain text, with --json a line of JSON for each look.

    Example: qibai top --once
    """
    url = api_url or listen_url(config_of(ctx))
    try:
        # The certificate of this node is for the name that others know it by.
        transport = Transport(url, timeout_s=_ANSWER_S, verify=api_url is not None)
    except ValueError as exc:
        raise BadRequest(f"--api-url: {exc}", field="api_url") from None
    first = _look(transport, url)
    if json or once or not out.is_terminal or out.is_dumb_terminal:
        for look in _looks(first, transport, url, every):
            if isinstance(look, Unavailable):
                note(look.message)
            elif json:
                as_json(look)
            else:
                _print(look)
            if once:
                return
            if not json:
                say("")
    with _screen() as show:
        for look in _looks(first, transport, url, every):
            show(look)


def _looks(first: Samples, transport: Transport, url: str, every: float) -> Iterator[Look | Unavailable]:
    """What is seen at each look, or why nothing is. It waits between two looks."""
    yield look_of(first, None)
    kept = deque([first])
    while True:
        time.sleep(every)
        try:
            now = _look(transport, url)
        except Unavailable as exc:
            yield exc
            continue
        while len(kept) > 1 and now.at - kept[1].at >= _WINDOW_S:
            kept.popleft()
        yield look_of(now, kept[0])
        if now.at - kept[-1].at >= _KEEP_EVERY_S:
            kept.append(now)


def _look(transport: Transport, url: str) -> Samples:
    """Raise Unavailable."""
    try:
        answer = transport.request("GET", "/metrics", b"", {})
    except NoAnswer:
        raise Unavailable(f"the API at {url} does not answer; see `qibai status`") from None
    if answer.status in (401, 403):
        raise Unavailable(
            f"the API at {url} shows its metrics to this machine only with a key: run `qibai top` on the node"
            " itself, or add this machine's address to api.metrics_from"
        )
    try:
        if answer.status != 200:
            raise ValueError
        return Samples.read(answer.body.decode(), time.time())
    except ValueError:
        raise Unavailable(f"the API at {url} does not show its metrics (status {answer.status})") from None


@contextmanager
def _screen() -> Iterator[Any]:
    """The terminal's other screen; when this ends, by Ctrl-C or SIGTERM too, the first is as it was."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    last: list[str] = []

    def show(look: Look | Unavailable) -> None:
        with out.capture() as captured:
            if isinstance(look, Unavailable):
                say("", look.message)
            else:
                _print(look)
        lines = captured.get().splitlines()
        if isinstance(look, Unavailable):
            lines += last
        else:
            last[:] = lines
        room = out.height
        if len(lines) > room:
            lines[room - 1 :] = [f"… {len(lines) - room + 1} more lines; make the window higher"]
        screen.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"))

    try:
        with out.screen(hide_cursor=True) as screen:
            yield show
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(look: Look) -> None:
    say("", f"qibai top  {look.node} {look.version}  {shown(look.at)}")
    down = [part for part, up in look.up.items() if not up]
    _say(f"up: {', '.join(part for part, up in look.up.items() if up) or 'nothing'}")
    if down:
        out.print(Text(f"DOWN: {', '.join(down)}", style="bold red"))
    sessions = "" if look.media_sessions is None else f", {look.media_sessions} sessions of rtpengine"
    _say(f"now: {look.answered_now} calls answered, {look.ringing_now} ringing{sessions}")
    say("")
    flows = [] if look.since == look.started_at else [(f"last {age(look.since)}", look.calls)]
    flows.append(("all" if look.started_at is None else f"all, {age(look.started_at)}", look.total))
    table(
        ("calls", "in", "refused", "out", "answered", "ASR", "NER", "ACD", "PDD 95 %"),
        [_flow(title, flow) for title, flow in flows],
    )
    _peers(look)
    _reasons(look)
    say("")
    _say(f"binds: {_counts(look.binds)}; releases: {_counts(look.releases)}")
    if look.pools_low:
        _say(f"pools that run out: {', '.join(look.pools_low)}")
    if look.links or look.messages_accepted or look.messages_ended:
        links = ", ".join(f"{name} {'up' if up else 'DOWN'}" for name, up in look.links.items()) or "none"
        ended = _counts(look.messages_ended)
        _say(
            f"messages: {look.messages_accepted} accepted, {look.messages_queued} wait; ended: {ended};"
            f" links: {links}"
        )
    slow = "" if look.request_p95_s is None else f", 95 % within {look.request_p95_s:.3f} s"
    _say(f"requests: {look.requests}, {look.errors} with 5xx{slow}")
    _say(
        f"spool {look.spool_bytes or 0} bytes; last backup {age(look.backup_at)} ago; losses:"
        f" {_counts(look.losses)}".replace("never ago", "never")
    )


def _flow(title: str, flow: Flow) -> tuple[Any, ...]:
    return (
        *(title, flow.received, flow.refused, flow.ended, flow.answered),
        *(_percent(flow.asr), _percent(flow.ner)),
        *(_seconds(flow.acd_s), _seconds(flow.post_dial_delay_p95_s)),
    )


def _peers(look: Look) -> None:
    states = {True: Text("up", style="green"), False: Text("DOWN", style="bold red"), None: ""}
    rows = [
        (
            *(one.peer, states[one.up], one.received, one.ended),
            *(_percent(one.asr), _percent(one.ner), one.handed_on),
        )
        for one in look.peers
    ]
    if rows:
        say("")
        table(("peer", "state", "calls from it", "to it", "ASR", "NER", "handed on"), rows)


def _reasons(look: Look) -> None:
    rows = [(rule, count, "this platform") for rule, count in look.refused.items()]
    rows += [(reason, count, "the far side") for reason, count in look.unanswered.items()]
    if rows:
        say("")
        table(
            ("why calls were not answered", "calls", "by"),
            sorted(rows, key=lambda row: -row[1])[:_REASONS],
        )


def _say(text: str) -> None:
    for line in textwrap.wrap(text, out.width, break_long_words=False):
        say(line)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _percent(ratio: float | None) -> str | None:
    return None if ratio is None else f"{100 * ratio:.1f} %"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"
