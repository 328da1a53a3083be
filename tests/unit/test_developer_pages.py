"""What the pages for developers name is there: whoever moves a file or a function finds it on the page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "qibai"
EXTENDING, CONTRIBUTING = (
    (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("extending", "contributing")
)
_FILE = re.compile(r"`(?!/|src/)([\w./-]+(?:\.py|\.sql|\.j2|\.toml|\.md|\.lock|/))`")
NAMED = sorted(set(_FILE.findall(EXTENDING) + _FILE.findall(CONTRIBUTING)))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_file_is_there(name: str) -> None:
    assert (ROOT / name).exists() or (SOURCE / name).exists(), f"docs/*.md: there is no {name}"


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
    assert name.rpartition(" ")[2].rstrip("(") in EXTENDING
    assert name in (SOURCE / file).read_text("utf-8")


def test_the_test_that_is_shown_is_one_of_ours() -> None:
    (shown,) = re.findall(r"^```\n(def test_.*?)^```", CONTRIBUTING, re.M | re.S)
    assert shown in (ROOT / "tests" / "integration" / "test_voice_calls.py").read_text("utf-8")
