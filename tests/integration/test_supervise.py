"""``qibai up`` keeps every part running, and leaves nothing behind."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in

from database_tools import as_platform
from qibai.supervise.look import look
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


def test_the_figures_of_each_part(cli: Cli) -> None:
    """What ``qibai stats`` says of the machine: a tree of processes a part, its CPU and its memory."""
    cli.start()
    found = {one["part"]: one for one in cli.json("stats")["node"]["parts"]}
    assert {name: one["pid"] for name, one in found.items()} == {
        name: part["pid"] for name, part in cli.parts().items()
    }
    for one in found.values():
        assert one["cpu_s"] > 0 and one["memory_bytes"] > 1 << 20, one
    assert found["kamailio"]["processes"] > 1


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


@pytest.fixture
def apart(database: Callable[[], str], tmp_path: Path) -> Iterator[Cli]:
    """A home whose parts run each by itself, as under systemd; the database is somebody else's."""
    with cli_in(tmp_path / "home", QIBAI_STORE_DSN=as_platform(database())) as made:
        made.run("init")
        yield made


@contextmanager
def part_alone(cli: Cli, part: str) -> Iterator["subprocess.Popen[bytes]"]:
    """One part by itself, ready; its log is a pipe, as journald's."""
    process = subprocess.Popen(
        [*cli.command, part], env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_for(lambda: state_of(cli, part) == "ready" or process.poll() is not None, f"{part} is ready", 60)
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        yield process
    finally:
        process.kill()
        process.wait()


def state_of(cli: Cli, part: str) -> str:
    return str(look(cli.config).get(part, {}).get("state", ""))


@pytest.mark.parametrize("part", ["kamailio", "rtpengine", "recorder", "gateway", "api"])
def test_a_part_that_systemd_runs_ends_when_it_is_asked_to(apart: Cli, part: str) -> None:
    with part_alone(apart, part) as process:
        process.terminate()
        assert process.wait(10) in (0, -signal.SIGTERM)
        assert process.stdout is not None
        process.stdout.read()  # comes to its end: nobody is left who could write


def test_status_shows_the_parts_that_systemd_started(apart: Cli) -> None:
    assert "nothing runs" in apart.run("status", status=3).stderr
    with part_alone(apart, "recorder") as process:
        found = apart.json("status", status=3)
        assert found["running"]
        assert found["pid"] is None
        shown = {name: (part["state"], part["pid"]) for name, part in found["parts"].items()}
        assert shown["recorder"] == ("ready", process.pid)
        assert shown["api"] == ("stopped", None)
        lines = [line.split()[:3] for line in apart.run("status", status=3).stdout.splitlines()]
        assert ["recorder", "ready", str(process.pid)] in lines
    assert apart.json("status", status=3)["parts"] == {}
