"""Lines of prose in the pages are at most 120 columns wide: editors and comparisons show them whole."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
COLUMNS = 120


def columns(line: str) -> int:
    """A Chinese character is two columns wide."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines outside code blocks and tables. A row of a table cannot be broken in Markdown."""
    in_code = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if re.match(r" *```", line):
            in_code = not in_code
        elif not in_code and not line.startswith("|"):
            yield number, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_of_prose_is_wider(page: Path) -> None:
    wide = [
        f"{page.name}:{number}: {columns(line)} columns"
        for number, line in prose(page)
        if columns(line) > COLUMNS
    ]
    assert not wide, "break the line before the column 120, in Chinese after a comma:\n" + "\n".join(wide)
