"""Tables and sentences for people, JSON for programs."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


def _width() -> int | None:
    """A file or pipe has no width: 200 columns, unless the user says otherwise."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200


out = Console(highlight=False, emoji=False, soft_wrap=True, width=_width())
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def as_json(value: Any) -> None:
    """Print ``value`` as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=str).decode() + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print rows under their columns; nothing there is a dash."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*("–" if cell is None or cell == "" else str(cell) for cell in row))
    out.print(made)


def say(text: str) -> None:
    """A sentence on stdout."""
    out.print(text)


def done(text: str) -> None:
    """Something was done."""
    out.print(f"[green]✓[/green] {text}")


def note(text: str) -> None:
    """A remark on stderr, out of the way of what the command prints."""
    err.print(text)


def fail(code: str, message: str, field: str | None = None) -> None:
    """Why the command failed, on stderr, in one sentence with its stable code."""
    where = f" ({field})" if field else ""
    err.print("error", style="bold red", end=" ")
    err.print(f"{code}: {message}{where}", markup=False)
