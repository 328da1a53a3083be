"""What the docs tell a newcomer to type works as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in

pytestmark = pytest.mark.voice

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with cli_in(tmp_path_factory.mktemp("docs") / "home") as made:
        made.run("init")
        made.start()
        yield made


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in that language."""
    text = (DOCS / page).read_text("utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for kind, body in found if kind == language]


def bash(script: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run a script; a command or request that fails ends it."""
    env = os.environ | {"PATH": os.pathsep.join([*map(str, paths), os.environ["PATH"]])}
    strict = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'
    return subprocess.run(
        ["bash", "-c", strict + script], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_api_page(cli: Cli) -> None:
    """Each curl is answered with success; the Python at its end runs, too."""
    url = f"http://127.0.0.1:{cli.config.api.port}"
    key = cli.json("tenant", "add", "docs")["api_key"]
    network = cli.json("tenant", "key", "add", "docs", "--network")["api_key"]
    cli.run("code", "add", "70012345678", "--tenant", "docs")
    first, *rest = blocks("api.md", "sh")
    assert first.startswith("QIBAI=http://127.0.0.1:7000\nKEY=qb_…")
    assert len(rest) >= 4
    done = bash("\n".join([f"QIBAI={url}", f"KEY={key}", f"NETWORK_KEY={network}", *rest]))
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ('"x":', '"released"', '"decision":"refuse"'):
        assert expected in done.stdout
    (python,) = blocks("api.md", "python")
    script = python.replace("http://127.0.0.1:7000", url).replace("qb_…", key)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"700[0-9]{12} 700[0-9]{12}\n", done.stdout)


def test_the_messages_page(cli: Cli) -> None:
    """Each curl is answered with success; the commands of its table exist."""
    url = f"http://127.0.0.1:{cli.config.api.port}"
    key = cli.json("tenant", "add", "messages")["api_key"]
    cli.run("code", "add", "70012345688", "--tenant", "messages")
    item = ("--a", "13800138000", "--b", "13900139000", "--order", "order-1")
    binding = cli.json("bind", *item, QIBAI_API_KEY=key)["id"]
    names = {"QIBAI": url, "KEY": key, "BINDING": binding, "ORDER": "order-1"}
    given = [f"{name}={shlex.quote(value)}" for name, value in names.items()]
    done = bash("\n".join([*given, *blocks("messages.md", "sh")]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"secret":"whsec_') == 1 and '"kind":"platform"' in done.stdout
    for command in re.findall(r"^\| `qibai ([a-z ]+)", (DOCS / "messages.md").read_text(), re.MULTILINE):
        cli.run(*command.split(), "--help")


def sessions(page: str) -> list[tuple[str, list[str]]]:
    """(command, what the page shows of its output) of each `$` line."""
    found: list[tuple[str, list[str]]] = []
    for block in blocks(page, ""):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and line.strip():
                found[-1][1].append(line)
    return found


def test_the_getting_started_page(cli: Cli) -> None:
    """Each command succeeds, and says what the page shows, line by line, numbers and times apart."""
    number, key = "", ""
    commands = sessions("getting-started.md")
    assert [command.split()[1] for command, _ in commands] == ["tenant", "code", "code", "bind", "route"]
    for command, shown in commands:
        args = shlex.split(command)[1:]
        if args[0] == "route":
            args[1] = number
        done = cli.run(*args, status=4 if args[0] == "route" else 0, QIBAI_API_KEY=key)
        if args[0] == "tenant":
            (key,) = re.findall(r"qb_\S+", done.stdout)
        if args[0] == "bind":
            (number,) = re.findall(r"^X +(700\d{12}) *$", done.stdout, re.MULTILINE)
        said = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
        known = {"70012345678", "70012345688", "binding"}  # codes of other pages, and ids that differ
        assert [line.split()[0] for line in shown if line.split()[0] not in known] == [
            word for word in said if word not in known
        ]
