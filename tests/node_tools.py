"""API processes of several nodes on one database, each with a clock of its own."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api_tools import wait_for
from database_tools import as_platform
from qibai.config import Config
from qibai.testing.ports import free_port

_ROOT: Final = Path(__file__).parents[1]
_LATER: Final = _ROOT / "scripts" / "later"
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "y": 31_536_000}
_PROGRAM: Final = (
    "import sys; from qibai.config import load; from qibai.api.serve import run; run(load(sys.argv[1]))"
)


def clock_ahead(ahead_s: float) -> str:
    """For libfaketime: as far ahead of this process's clock, which may be moved itself."""
    found = re.fullmatch(r"\+([0-9.]+)([smhdy]?)", os.environ.get("FAKETIME", "+0"))
    assert found is not None, "the clock of the tests is set in a way that is not known here"
    return f"{float(found[1]) * _UNITS[found[2]] + ahead_s:+f}s"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    replayed: bool = False

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.body["code"])


class Node:
    """``qibai``'s API in a process of its own; a context that ends it."""

    def __init__(self, home: Path, dsn: str, key_file: Path, *, ahead_s: float, quarantine_s: int) -> None:
        home.mkdir()
        config = Config(home=home)
        config.key_file.write_bytes(key_file.read_bytes())
        config.key_file.chmod(0o600)
        self.home = home
        self.port = free_port("127.0.0.1", socket.SOCK_STREAM)
        self.log = home / "api.log"
        self._ahead_s = ahead_s
        self._env = os.environ | {
            "QIBAI_NODE": home.name,
            "QIBAI_STORE_DSN": as_platform(dsn),
            "QIBAI_API_PORT": str(self.port),
            "QIBAI_BINDING_QUARANTINE_S": str(quarantine_s),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", _PROGRAM, str(self.home)]
        env = self._env
        if self._ahead_s:
            command = [str(_LATER), *command]
            env = env | {"LATER": clock_ahead(self._ahead_s)}
            env.pop("LD_PRELOAD", None)  # a clock that is moved already is set, not moved once more
        with self.log.open("ab") as log:
            # in a group of its own: faketime stays beside what it starts
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        wait_for(self._healthy, 60)

    def kill(self) -> None:
        """kill -9"""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> "Node":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def _healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


class Line:
    """A client's connection to one node; for one thread."""

    def __init__(self, node: Node, bearer: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        """The answer. Raise OSError or HTTPException where there is none."""
        headers = self._headers if key is None else self._headers | {"Idempotency-Key": key}
        data = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, data, headers)
            said = self._connection.getresponse()
            text = said.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return Answer(said.status, json.loads(text), said.getheader("Idempotent-Replayed") == "true")

    def close(self) -> None:
        self._connection.close()
