"""The command line as users run it: a process, a home of its own, free ports."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM
from typing import Any

from qibai.config import Config, load
from qibai.supervise import state
from qibai.testing.platform import free_port, wait_for
from qibai.testing.ports import media_ports


class Cli:
    """``qibai`` with one home."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        media = media_ports()
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QIBAI_")},
            "QIBAI_HOME": str(home),
            "QIBAI_API_PORT": str(free_port("127.0.0.1", SOCK_STREAM)),
            "QIBAI_VOICE_UDP_PORT": str(free_port("127.0.0.1", SOCK_DGRAM)),
            "QIBAI_VOICE_TCP_PORT": "0",
            "QIBAI_VOICE_MEDIA_NG_PORT": str(free_port("127.0.0.1", SOCK_DGRAM)),
            "QIBAI_VOICE_MEDIA_PORT_MIN": str(media[0]),
            "QIBAI_VOICE_MEDIA_PORT_MAX": str(media[-1]),
            "QIBAI_MESSAGING_SIP_PORT": str(free_port("127.0.0.1", SOCK_DGRAM)),
            **variables,
        }

    @property
    def config(self) -> Config:
        return load(environ=self.env)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "qibai"]

    def run(
        self, *args: str, status: int | None = 0, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its exit status has to be ``status``, unless that is None."""
        done = subprocess.run(
            [*self.command, *args],
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert status in (None, done.returncode), f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *args: str, status: int = 0, stdin: str | None = None, **env: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*args, "--json", status=status, stdin=stdin, **env).stdout)

    def start(self) -> "subprocess.Popen[bytes]":
        """``qibai up`` in the foreground of nobody, ready."""
        log = self.home.parent / "up.log"
        with log.open("ab") as out:
            process = subprocess.Popen([*self.command, "up"], env=self.env, stdout=out, stderr=out)
        wait_for(lambda: self.all_ready() or process.poll() is not None, "qibai up", 60)
        assert process.poll() is None, log.read_text()[-3000:]
        return process

    def parts(self) -> dict[str, dict[str, Any]]:
        return state.read(self.config)

    def all_ready(self) -> bool:
        found = self.parts()
        return bool(found) and all(part["state"] == "ready" for part in found.values())

    def processes(self) -> list[int]:
        """All processes that this home's platform consists of."""
        found = []
        words = (f"QIBAI_PART_OF={self.home}".encode(), str(self.home).encode())
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if not entry.name.isdigit() or int(entry.name) == os.getpid():
                    continue
                marked = words[0] in (entry / "environ").read_bytes().split(b"\0")
                if marked or words[1] in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def clean_up(self) -> None:
        """Leave nothing running, whatever the test did."""
        pid = state.supervisor_pid(self.config)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(Exception):
                wait_for(lambda: state.supervisor_pid(self.config) is None, "stop", 30)
        for left in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)


@contextmanager
def cli_in(home: Path, **variables: str) -> Iterator[Cli]:
    """A command line whose platform is gone at the end."""
    cli = Cli(home, **variables)
    try:
        yield cli
    finally:
        cli.clean_up()
