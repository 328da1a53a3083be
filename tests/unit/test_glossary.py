"""The names in the glossary are those of the code: whoever renames a thing finds it there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "glossary.md"
SOURCE = "\n".join(
    path.read_text("utf-8")
    for pattern in ("*.py", "*.sql", "*.j2")
    for path in sorted((ROOT / "src").rglob(pattern))
)
ROWS = [line.split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
NAMES = [name for row in ROWS for name in re.findall(r"`([^`]+)`", row[2])]


def is_used(name: str) -> bool:
    """A request (`GET /v1/calls`) is used by its path."""
    return re.search(rf"(?<!\w){re.escape(name.rpartition('/')[2])}(?!\w)", SOURCE) is not None


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_the_code_uses_each_name(name: str) -> None:
    assert is_used(name), f"docs/glossary.md: the code has no {name}"


def test_a_name_that_is_gone_would_be_found() -> None:
    assert not is_used("no_such_name_" + "anywhere")


def test_no_word_is_explained_twice() -> None:
    words = [row[0].removeprefix("| ") for row in ROWS]
    twice = {word for word in words if words.count(word) > 1} - {"English"}
    assert not twice, twice
