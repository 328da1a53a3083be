"""Kill -9 of gateway, database and peer under 200 messages a second.

Every message that was acknowledged ends in exactly one final state, and its sender is told; no receiver got
more twice than what was under way, unanswered, when a process died.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SOCK_STREAM

import psycopg
import pytest
from cli_tools import Cli, cli_in

from gateway_tools import bound
from qibai.store import dsn
from qibai.store.keys import Keyring
from qibai.testing.platform import free_port, wait_for

HERE = Path(__file__).parents[1]
RATE = 200
TOTAL = 4_000
WINDOW = 16  #: of the loopback link: config_for
ROUNDS = ("gateway", "postgres", "carrier", "gateway", "carrier", "postgres", "gateway")
FINAL = {"delivered", "expired", "rejected", "unknown"}


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home", QIBAI_VOICE_ENABLED="false", QIBAI_MESSAGING_ENABLED="false") as made:
        yield made


class Process:
    """A program of ours that is started again and again."""

    def __init__(self, log: Path, *args: str) -> None:
        self._command = [sys.executable, *args]
        self._env = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE / 'integration'}"}
        self._log = log.open("ab")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, env=self._env, stdout=self._log, stderr=subprocess.STDOUT
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.start()

    def end(self) -> None:
        self._process.terminate()
        assert self._process.wait(timeout=30) in (0, -signal.SIGTERM)
        self._log.close()


@contextmanager
def process(log: Path, *args: str) -> Iterator[Process]:
    made = Process(log, *args)
    try:
        yield made
    finally:
        made.end()


class Lines:
    """What the carrier wrote down."""

    def __init__(self, file: Path) -> None:
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        self.taken = {int(line[1]): int(line[2]) for line in lines if line[0] == "T"}
        self.submitted = Counter(int(line[1]) for line in lines if line[0] == "S")
        self.told = {int(line[1]): line[2] for line in lines if line[0] == "P"}


@pytest.mark.timeout(300)
def test_no_message_is_lost_or_relayed_twice_beyond_the_window(cli: Cli, tmp_path: Path) -> None:
    cli.start()
    store = dsn(cli.config)
    bound(store, Keyring.load(cli.config.key_file))
    port = str(free_port("127.0.0.1", SOCK_STREAM))
    file = tmp_path / "carrier.txt"
    carrier_args = (str(HERE / "loop_carrier.py"), port, str(file), str(RATE), str(TOTAL))
    gateway_args = (str(HERE / "loop_gateway.py"), str(cli.home), store, port)
    log = tmp_path / "processes.log"
    with process(log, *carrier_args) as carrier, process(log, *gateway_args) as gateway:
        for name in ROUNDS:
            before = len(Lines(file).taken)
            wait_for(
                lambda before=before: len(Lines(file).taken) >= min(before + 2 * RATE, TOTAL - RATE),
                f"traffic before {name} is killed",
                60,
            )
            if name == "postgres":
                pid, starts = cli.parts()[name]["pid"], cli.parts()[name]["restarts"]
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda starts=starts: cli.parts()["postgres"]["restarts"] > starts, "restart", 30)
            else:
                (gateway if name == "gateway" else carrier).kill()
        wait_for(lambda: len(Lines(file).taken) == TOTAL, "everything is acknowledged", 90)
        with psycopg.connect(store, autocommit=True) as conn:

            def unfinished() -> int:
                row = conn.execute("SELECT count(*) FROM message WHERE final_at IS NULL").fetchone()
                return int(row[0]) if row else -1

            wait_for(lambda: unfinished() == 0, "everything is final", 90)
            wait_for(lambda: len(Lines(file).told) == TOTAL, "everybody is told", 60)
            rows = dict(conn.execute("SELECT id, state FROM message").fetchall())
            left = conn.execute("SELECT count(*) FROM message_sent").fetchone()
    lines = Lines(file)
    assert set(lines.taken.values()) <= rows.keys()
    assert len(rows) == len(set(lines.taken.values())) == TOTAL  # none that nobody acknowledged
    assert set(rows.values()) <= FINAL
    assert {number: rows[id] for number, id in lines.taken.items()} == lines.told
    assert lines.submitted.keys() == lines.taken.keys()
    twice = sum(lines.submitted.values()) - TOTAL
    crashes = sum(name != "postgres" for name in ROUNDS)
    print(f"{twice} twice after {crashes} crashes, {Counter(rows.values())}, {time.monotonic():.0f}")
    assert twice <= WINDOW * crashes
    assert left == (0,)
