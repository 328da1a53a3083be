"""Tables and sentences for people, in their language; JSON for programs."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from qibai.cli.language import local, said_in_chinese, speaks_chinese

NARROWEST: Final = 40
_WIDEST: Final = 1_000
_GAP: Final = "  "


def _width() -> int | None:
    """A file or pipe has no width: 200 columns, unless the user says otherwise. None: the terminal's."""
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdecimal():
        return min(max(int(said), NARROWEST), _WIDEST)
    return None if sys.stdout.isatty() else 200


out = Console(highlight=False, emoji=False, soft_wrap=True, width=_width())
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True, width=_width())


def as_json(value: Any, *, reveal: bool = False) -> None:
    """Print ``value`` as one line of JSON. Real numbers in it are masked unless ``reveal``."""
    plain = msgspec.to_builtins(value, enc_hook=str)
    if not reveal:
        plain = _masked(plain)
    if sys.stdout.encoding.lower().replace("-", "") == "utf8":
        text = msgspec.json.encode(plain).decode()
    else:
        text = json.dumps(plain, separators=(",", ":"))  # in ASCII, which every terminal shows
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _masked(value: Any) -> Any:
    from qibai.core.masking import mask_words  # noqa: PLC0415  # only JSON needs it

    match value:
        case str():
            return mask_words(value)
        case list() | tuple():
            return [_masked(one) for one in value]
        case dict():
            return {name: _masked(one) for name, one in value.items()}
        case _:
            return value


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print rows under their columns; nothing there is a dash.

    No word is ever broken, so that ids can be copied: where the columns do not fit, the last one's words go
    on over several lines; where that does not help, each row is printed as a list of its own.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    if title is not None:
        out.print(Text(local(title), style="italic"))
    head = [Text(local(column), style="bold") for column in columns]
    widths = [max(text.cell_len for text in column) for column in zip(head, *cells, strict=True)]
    room = out.width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
    longest = max(cell_len(word) for row in (head, *cells) for word in row[-1].plain.split(" "))
    if longest <= room or len(columns) <= 2:
        for row in (head, *cells):
            _print_row(row, widths, max(room, longest))
        return
    for place, row in enumerate(cells):
        if place:
            out.print()
        _print_record(head, row)


def _cell(value: Any) -> Text:
    """A value as text of one line; a control character in it is shown, not sent to the terminal."""
    if isinstance(value, Text):
        return value
    text = "–" if value is None or value == "" else str(value)
    if not text.isprintable():
        text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    return Text(text)


def _print_row(row: Sequence[Text], widths: Sequence[int], room: int) -> None:
    line = Text()
    for cell, width in zip(row[:-1], widths, strict=False):
        line.append_text(cell).append(" " * (width - cell.cell_len) + _GAP)
    indent = " " * line.cell_len
    first, *more = _lines(row[-1], room)
    line.append_text(first)
    line.rstrip()
    out.print(line)
    for rest in more:
        out.print(Text(indent).append_text(rest))


def _lines(cell: Text, room: int) -> list[Text]:
    """The cell's words on lines of at most ``room`` columns."""
    if cell.cell_len <= room:
        return [cell]
    lines = [""]
    for word in cell.plain.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return [Text(line, style=cell.style) for line in lines]


def _print_record(head: Sequence[Text], row: Sequence[Text]) -> None:
    width = max(label.cell_len for label in head)
    for label, cell in zip(head, row, strict=True):
        line = Text().append_text(label).append(" " * (width - label.cell_len) + _GAP).append_text(cell)
        line.rstrip()
        out.print(line)


def say(text: str, value: str = "") -> None:
    """A sentence on stdout, shown as it is; ``value`` follows in bold."""
    out.print(Text(local(text)).append(value, style="bold"))


def done(text: str) -> None:
    """Something was done."""
    out.print(Text("✓", style="green").append(f" {local(text)}", style="default"))


def note(text: str) -> None:
    """A remark on stderr, out of the way of what the command prints."""
    err.print(local(text), markup=False)


def fail(code: str, message: str, field: str | None = None) -> None:
    """Why the command failed, on stderr, in one sentence with its stable code."""
    where, word = f" ({field})" if field else "", "error"
    if speaks_chinese():
        message, word = said_in_chinese(code, message), "错误"
    err.print(word, style="bold red", end=" ")
    err.print(f"{code}: {message}{where}", markup=False)
