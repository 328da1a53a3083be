"""Gateways in processes of their own, on one database: nodes that stop, wake and die."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

SCRIPT = Path(__file__).parent / "loop_gateway.py"


class Node:
    """One of them; its only link is named ``carrier``."""

    def __init__(self, folder: Path, dsn: str, port: int, name: str) -> None:
        self.name, self._dsn, self._port = name, dsn, port
        self.home = folder / name
        self.home.mkdir()
        (self.home / "keys.json").write_bytes((folder / "keys.json").read_bytes())
        (self.home / "keys.json").chmod(0o600)
        self._log = (folder / f"{name}.log").open("ab")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(SCRIPT), str(self.home), self._dsn, str(self._port), self.name]
        paths = [str(SCRIPT.parent), str(SCRIPT.parent / "integration")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(command, env=env, stdout=self._log, stderr=self._log)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def again(self) -> None:
        """Start it once it has ended."""
        self.process.wait(60)
        self.process = self._start()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._log.close()


@contextmanager
def node(folder: Path, dsn: str, port: int, name: str) -> Iterator[Node]:
    """``folder`` holds the key file."""
    made = Node(folder, dsn, port, name)
    try:
        yield made
    finally:
        made.end()


def silent_for(dsn: str, name: str, seconds: float) -> None:
    """As if the node had fallen silent so long ago."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "UPDATE message_node SET seen_at = now() - make_interval(secs => %s) WHERE node = %s",
            (seconds, name),
        )


async def ended(process: subprocess.Popen[bytes], within_s: float = 60) -> int:
    """Its exit status, once it has ended."""
    deadline = time.monotonic() + within_s
    while process.poll() is None:
        assert time.monotonic() < deadline, "it goes on"
        await asyncio.sleep(0.05)
    return process.returncode
