"""Terminals that show less than others: few columns, or no more than ASCII."""

import codecs
import os
import sys
from io import TextIOWrapper
from typing import Final

_LEAST: Final = 40
_MOST: Final = 1_000
_PLAIN: Final = {
    **{"✓": "ok", "✗": "x", "–": "-", "—": "-", "…": "...", "→": "->", "×": "x", "·": "-", "’": "'"},
    **dict.fromkeys("─━═╌┄", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╞╡╪", "+"),
}


def settle() -> None:
    """Make standard output and error take every character, and a sane number of columns."""
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdecimal():
        os.environ["COLUMNS"] = str(min(max(int(said), _LEAST), _MOST))
    codecs.register_error("qibai.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="qibai.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that the terminal's encoding has not got."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = (
        _PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode()
        for one in error.object[error.start : error.end]
    )
    return "".join(shown), error.end
