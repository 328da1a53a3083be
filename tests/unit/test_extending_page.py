"""The files that the page of extending names are there: whoever moves one finds it on the page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(?!/|src/)([\w./-]+(?:\.py|\.sql|\.j2|\.toml|\.md|/))`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_file_is_there(name: str) -> None:
    is_path_of_root = name.startswith(("docs/", "tests/", "pyproject.toml"))
    place = ROOT / name if is_path_of_root else ROOT / "src" / "qibai" / name
    assert place.exists(), f"docs/extending.md names {name}"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("core/pairs.py", "def occupied("),
        ("core/pairs.py", "def forbidden("),
        ("store/bindings/change.py", "def _reached("),
        ("voice/invite.py", "def hand_on("),
        ("store/resources/session.py", "def changing("),
        ("service/desk.py", "def enter_change("),
        ("service/desk.py", "def second("),
        ("core/events.py", "class CallEventKind("),
    ],
)
def test_a_named_function_is_there(file: str, name: str) -> None:
    assert name.rpartition(" ")[2].rstrip("(") in PAGE
    assert name in (ROOT / "src" / "qibai" / file).read_text("utf-8")
