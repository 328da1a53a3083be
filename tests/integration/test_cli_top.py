"""``qibai top`` as users run it: on a terminal, in a pipe, for programs."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator

import pytest
from cli_tools import Cli, cli_in

from api_tools import Api


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    made = Api(tmp_path_factory.mktemp("top") / "api", database())
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def cli(api: Api) -> Iterator[Cli]:
    report = {
        "at": time.time() + 3_600,
        "store_up": True,
        "started_at": 1_780_272_000.0,
        "running": {"answered": 7, "ringing": 2},
        "calls_received": [["east", 90]],
        "calls_refused": [["east", "not_bound", 4]],
        "calls_ended": [["west", "answered", "answered", 60], ["west", "unanswered", "busy", 20]],
    }
    (api.config.run_dir / "recorder.json").write_text(json.dumps(report))
    with cli_in(api.config.home, QIBAI_API_PORT=str(api.config.api.port)) as made:
        yield made


class Terminal:
    """A command on a terminal of some lines and columns."""

    def __init__(self, cli: Cli, *words: str, lines: int, columns: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {**cli.env, "TERM": "xterm"}
        command = ["env", "--default-signal=INT", *cli.command, *words]
        self.process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""

    def read_until(self, done: Callable[[], bool]) -> None:
        """Read what it shows until that is so, or all to its end."""
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, self.shown
            if select.select([self._ours], [], [], 1.0)[0]:
                try:
                    self.shown += os.read(self._ours, 65_536).decode()
                except OSError:  # it has closed the terminal
                    return

    def end(self, number: signal.Signals) -> int:
        """Its exit status after that signal."""
        self.process.send_signal(number)
        self.read_until(lambda: False)
        os.close(self._ours)
        return self.process.wait(20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_small_terminal_is_as_it_was_afterwards(cli: Cli, number: signal.Signals) -> None:
    terminal = Terminal(cli, "top", "--every", "1", lines=12, columns=60)
    terminal.read_until(lambda: terminal.shown.count("qibai top") >= 2)
    assert terminal.end(number) == 130
    shown = terminal.shown
    assert "\x1b[?1049h" in shown and "more lines; make the window higher" in shown
    assert shown.rindex("\x1b[?1049l") > shown.rindex("qibai top"), "the first screen comes back"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "and the cursor"
    assert "Traceback" not in shown and "Error" not in shown


def test_a_pipe_gets_plain_text_until_nobody_reads(cli: Cli) -> None:
    command = [*cli.command, "top", "--every", "1"]
    with subprocess.Popen(
        command, env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as ran:
        assert ran.stdout is not None and ran.stderr is not None
        lines = []
        while sum(line.startswith("qibai top") for line in lines) < 2:
            lines.append(ran.stdout.readline())
        ran.stdout.close()
        assert ran.wait(20) != 0 and ran.stderr.read() == ""
    assert not [line for line in lines if "\x1b" in line]


def test_once_shows_everything_at_every_width(cli: Cli) -> None:
    for columns in ("40", "80", "200"):
        said = cli.run("top", "--once", COLUMNS=columns).stdout
        assert "\ncalls" in said and ("  PDD 95 %\n" in said) == (columns != "40"), said
        for words in ("7 calls answered, 2 ringing", "75.0 %", "not_bound", "busy", "west", "binds: none"):
            assert words in " ".join(said.split()), (columns, said)


def test_programs_get_a_line_of_json(cli: Cli) -> None:
    found = cli.json("top", "--once")
    assert (found["answered_now"], found["calls"]["asr"], found["refused"]) == (7, 0.75, {"not_bound": 4})
    assert found["up"] == {"kamailio": False, "rtpengine": False, "recorder": True, "database": True}
    assert [one["peer"] for one in found["peers"]] == ["east", "west"]


def test_who_does_not_answer_is_named(cli: Cli, api: Api) -> None:
    said = cli.run("top", "--once", status=1, QIBAI_API_PORT="9").stderr
    assert "unavailable" in said and "http://127.0.0.1:9 does not answer" in said
    said = cli.run("top", "--once", "--api-url", "nonsense", status=1).stderr
    assert "give an address as https://host:port" in said
