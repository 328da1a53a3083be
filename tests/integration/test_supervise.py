"""``qibai up`` keeps every part running, and leaves nothing behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in

from qibai.testing.platform import wait_for

pytestmark = pytest.mark.voice


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home") as made:
        yield made


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_cleanly(cli: Cli, number: signal.Signals) -> None:
    process = cli.start()
    process.send_signal(number)
    assert process.wait(60) == 0
    assert cli.processes() == []
    log = (cli.home.parent / "up.log").read_text()
    assert log.index("fast shutdown") > log.index("stopping"), "PostgreSQL stops last"
    assert log.rstrip().endswith("stopped")


def test_a_killed_part_is_started_again(cli: Cli) -> None:
    cli.start()
    before = cli.parts()
    for name, part in before.items():
        os.kill(part["pid"], signal.SIGKILL)
        wait_for(lambda name=name: cli.parts()[name]["restarts"] > 0, f"{name} was restarted", 30)
    wait_for(cli.all_ready, "all parts are ready again", 60)
    after = cli.parts()
    assert all(after[name]["pid"] != before[name]["pid"] for name in before)


def test_parts_do_not_outlive_a_killed_supervisor_and_up_recovers(cli: Cli) -> None:
    process = cli.start()
    kamailio = cli.parts()["kamailio"]["pid"]
    os.kill(kamailio, signal.SIGSTOP)  # the worst case: it cannot react to the supervisor's death
    process.kill()
    process.wait()
    again = cli.start()
    assert kamailio not in cli.processes()
    assert again.poll() is None
    assert cli.json("doctor")["ok"]


def test_a_second_supervisor_is_refused(cli: Cli) -> None:
    cli.start()
    refused = cli.run("up", status=1)
    assert "conflict: the platform" in refused.stderr
    assert cli.json("up", "--detach")["started"] is False
