"""What the docs tell a newcomer to type works as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in
from doc_sessions import Session, sessions

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


@pytest.mark.parametrize(
    ("page", "language"), [("getting-started.md", "en"), ("zh-CN/getting-started.md", "zh")]
)
def test_the_getting_started_page(tmp_path: Path, page: str, language: str) -> None:
    """Each command says what the page shows, numbers and times apart."""
    with cli_in(tmp_path / "home", QIBAI_VOICE_ENABLED="false", QIBAI_LANG=language) as cli:
        cli.run("init")
        cli.start()
        commands = sessions(DOCS / page)
        assert [command.split()[1] for command, _ in commands] == ["tenant", "code", "code", "bind", "route"]
        shell = Session(tmp_path, cli.env, date(2026, 11, 24), date.today())  # noqa: DTZ011  # as the command prints
        for command, shown in commands:
            said = shell.run(command)
            shell.compare(command, shown, said)
            if command.startswith("qibai tenant add"):
                (shell.env["QIBAI_API_KEY"],) = re.findall(r"qb_\S+", "\n".join(said))
