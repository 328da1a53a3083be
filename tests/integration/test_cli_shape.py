"""What every command has in common."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from qibai import __version__
from qibai.cli.app import app

#: They run in the foreground until they are stopped, or write a file's text.
NO_JSON = {"api", "recorder", "gateway", "kamailio", "rtpengine", "code export", "audit export"}


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join([*path, name]), command


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", sorted(ALL.keys() - NO_JSON))
def test_each_command_prints_json_when_asked(name: str) -> None:
    assert any("--json" in option.opts for option in ALL[name].params)


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_command_explains_itself(name: str) -> None:
    assert ALL[name].help


def test_the_version_is_an_option_too() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.stdout.split()[:2]) == (0, ["qibai", __version__])


def test_the_shell_completes_commands_and_values(tmp_path: Path) -> None:
    """bash, after ``qibai --install-completion`` in it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = """
    qibai --install-completion >&2
    source ~/.bashrc
    try() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _qibai_completion qibai; echo "${COMPREPLY[*]}"; }
    try qibai ten; try qibai tenant key ''; try qibai bind --mode GX; try qibai rout
    """
    env = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["tenant", "add list revoke", "GXB GXYB", "route"], done.stderr


ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Of the command itself; each has a value.
ROOT_OPTIONS = {"--home", "--as"}


def written(text: str) -> Iterator[list[str]]:
    """The words after ``qibai`` of every command in a fenced block or between backticks."""
    fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    lines = [line for line in fenced.splitlines() if re.match(r"(\$ |Example: )?(\S+/)?qibai\s", line)]
    rest = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"`((?:\S+/)?qibai\s[^`]+)`", rest)
    for line in lines:
        command = re.split(r"\s[#|>…]|;", line.removeprefix("$ "))[0]
        yield command.replace("\\\n", " ").split()[1:]


def unknown(words: list[str]) -> str | None:
    """What of a command is not there: its name, or an option of its."""
    while words and words[0] in ROOT_OPTIONS:
        words = words[2:]
    if not words or words[0] == "--install-completion":
        return None
    group: Any = typer.main.get_command(app)
    while hasattr(group, "commands") and words and not words[0].startswith("-"):
        if words[0] not in group.commands:
            return words[0]
        group, words = group.commands[words[0]], words[1:]
    options = {"--help", *(name for one in group.params for name in (*one.opts, *one.secondary_opts))}
    named = (word.partition("=")[0].rstrip(",.)") for word in words if re.match(r"--?[a-z]", word))
    return next((name for name in named if name not in options), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_docs_is_there(page: Path) -> None:
    assert {
        " ".join(words): missing for words in written(page.read_text("utf-8")) if (missing := unknown(words))
    } == {}


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_example_of_a_command_is_one(name: str) -> None:
    examples = re.findall(r"Example: qibai (.+)", ALL[name].help)
    assert [missing for line in examples if (missing := unknown(line.split()))] == []


def test_the_docs_are_read_as_they_are_meant() -> None:
    text = "`qibai nonsense` and\n```\n$ qibai bind --modus AXB   # x\nqibai up --detach\n```\n"
    assert [unknown(words) for words in written(text)] == ["--modus", None, "nonsense"]
    assert sum(1 for page in PAGES for _ in written(page.read_text("utf-8"))) > 40
