"""The walk through papers, codes, pools, two persons, traces and the trail, as the page shows it."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in
from doc_sessions import Session, sessions

PAGE = Path(__file__).parents[2] / "docs" / "resources.md"
WRITTEN = date(2026, 6, 20)
TODAY = date.today()  # noqa: DTZ011  # the page's days move with it


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    (notice,) = re.findall(r'^notice = "(\S+)"', PAGE.read_text("utf-8"), re.MULTILINE)
    (grace,) = re.findall(r"^grace_s = (\d+)", PAGE.read_text("utf-8"), re.MULTILINE)
    variables = {
        "QIBAI_PILOT_NOTICE": str(date.fromisoformat(notice) + (TODAY - WRITTEN)),
        "QIBAI_PILOT_GRACE_S": grace,
        "QIBAI_VOICE_ENABLED": "false",
        "QIBAI_AS": "wang",
    }
    with cli_in(tmp_path / "home", **variables) as made:
        made.run("init")
        made.start()
        yield made


def test_each_command_says_what_the_page_shows(cli: Cli, tmp_path: Path) -> None:
    commands = sessions(PAGE)
    (file,) = [shown for command, shown in commands if command == "cat codes.csv"]
    (tmp_path / "codes.csv").write_text("\n".join(file) + "\n")
    assert len(commands) > 60
    shell = Session(tmp_path, cli.env, WRITTEN, TODAY)
    for command, shown in commands:
        shell.compare(command, shown, shell.run(command))
