"""What the demo shows: both sides' views beside each other, the check, the record, and how to go on."""

import re
import shlex
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qibai.cli.address import api_url
from qibai.cli.demo.call import FRAMES, Seen
from qibai.cli.demo.message import TEXT, SeenMessage
from qibai.cli.demo.prepare import CALLEE, CALLER, Ready
from qibai.cli.language import local
from qibai.cli.output import as_json, done, out, say, table
from qibai.core.errors import QibaiError
from qibai.core.masking import mask_numbers

_SHOWN = re.compile(r"^(?:From|To|Contact|P-Asserted-Identity):|^c=", re.IGNORECASE)
_TOKEN = re.compile(r"(;qb=[\w-]{8})[\w-]+")


class NumberLeaked(QibaiError):
    """A side saw the other's real number; this must not happen, please report it."""

    code = "number_leaked"


class NotHeard(QibaiError):
    """The call stood, but one side did not hear the other."""

    code = "no_media"


def report(ready: Ready, seen: Seen, text: SeenMessage, *, json: bool) -> None:
    """Print all of it. Raise NumberLeaked or NotHeard when call or message was not as it has to be."""
    near, far = [*seen.by_caller, *text.by_sender], [*seen.by_callee, *text.by_receiver]
    leaked = _holds(near, CALLEE) or _holds(far, CALLER)
    answer = next(one for one in seen.by_caller if one.startswith("SIP/2.0 200"))
    invite = next(one for one in seen.by_callee if one.startswith("INVITE "))
    if json:
        as_json(_facts(ready, seen, text, _view(answer), _view(invite), leaked))
    else:
        _print(seen, _view(answer), _view(invite))
        _print_message(text)
        if not leaked:
            done(f"checked {len(near) + len(far)} messages: A never saw B's number, B never saw A's")
        _print_records(seen, text)
    if leaked:
        raise NumberLeaked
    if min(seen.heard_by_caller, seen.heard_by_callee) < FRAMES // 2:
        raise NotHeard
    if not json:
        _outlook(ready)


def _print(seen: Seen, caller: list[str], callee: list[str]) -> None:
    _beside(
        ("what A's phone got (the answer)", _short(caller)), ("what B's phone got (the call)", _short(callee))
    )
    say(
        f"  sound through the platform: A heard {seen.heard_by_caller} packets, B {seen.heard_by_callee}, "
        f"of {FRAMES} each"
    )


def _print_message(text: SeenMessage) -> None:
    _beside(("what A wrote to X", TEXT), ("what B's phone got (the message)", "\n".join(_letter(text))))


def _print_records(seen: Seen, text: SeenMessage) -> None:
    for title, record in (("GET /v1/calls", seen.record), ("GET /v1/messages", text.record)):
        rows = [(name, _plain(value)) for name, value in record.items() if value is not None]
        out.print()
        table((title, "the record, as the tenant reads it"), rows)


def _beside(left: tuple[str, str], right: tuple[str, str]) -> None:
    """Two titled texts."""
    sides = Table.grid(expand=True, padding=(0, 1))
    sides.add_column(ratio=1)
    sides.add_column(ratio=1)
    panels = zip((left, right), ("cyan", "magenta"), strict=True)
    sides.add_row(
        *(
            Panel(Text(body, overflow="fold"), title=local(title), border_style=colour)
            for (title, body), colour in panels
        )
    )
    out.print(sides, soft_wrap=False)


def _letter(text: SeenMessage) -> list[str]:
    """Of the message that the receiver got: start line, who and whom, and the text."""
    message = next(one for one in text.by_receiver if one.startswith("MESSAGE "))
    head, _, body = message.replace("\r\n", "\n").strip().partition("\n\n")
    return [*_view(head), "", *body.splitlines()]


def _outlook(ready: Ready) -> None:
    url = api_url(ready.config)
    home, here = ready.config.home.absolute(), Path.cwd()
    stop = shlex.join(
        [
            ".venv/bin/qibai",
            "--home",
            str(home.relative_to(here) if home.is_relative_to(here) else home),
            "down",
        ]
    )
    out.print()
    say(f"API            {url}/v1")
    say(f"documentation  {url}/docs")
    say(f"API key        {ready.api_key}")
    out.print()
    say("The platform goes on running. Stop it: ", stop)


def _facts(  # noqa: PLR0917  # each is one fact
    ready: Ready, seen: Seen, text: SeenMessage, caller: list[str], callee: list[str], leaked: bool
) -> dict[str, Any]:
    return {
        "binding": ready.binding,
        "caller_saw": caller,
        "callee_saw": callee,
        "leaked": leaked,
        "heard_by_caller": seen.heard_by_caller,
        "heard_by_callee": seen.heard_by_callee,
        "call": seen.record,
        "receiver_got": _letter(text),
        "message": text.record,
        "api_url": api_url(ready.config),
        "docs_url": f"{api_url(ready.config)}/docs",
        "api_key": ready.api_key,
    }


def _view(message: str) -> list[str]:
    """Of a message: start line, From, To, Contact and the SDP's c= line."""
    lines = message.strip().splitlines()
    return [lines[0].strip(), *(line.strip() for line in lines[1:] if _SHOWN.match(line))]


def _short(lines: list[str]) -> str:
    """The lines for a narrow column: of the sealed state of the dialog, its beginning."""
    return _TOKEN.sub(r"\1…", "\n".join(lines))


def _holds(messages: list[str], number: str) -> bool:
    """Whether the eleven digits of ``number`` stand anywhere in the messages."""
    return any(number[-11:] in one for one in messages)


def _plain(value: Any) -> str:
    return mask_numbers(str(value))
