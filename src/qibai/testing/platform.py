"""A call path of its own on loopback: Kamailio and rtpengine of one home folder, on free ports."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from qibai.config import Config
from qibai.core.errors import Unavailable
from qibai.supervise import probes
from qibai.testing.clock import into_kamailio
from qibai.testing.ports import free_port
from qibai.voice import engine, mediacheck

__all__ = ["Platform", "free_port", "listening", "wait_for", "write_config"]

START_S = 15.0


def listening(at: tuple[str, int], transport: str = "u1") -> bool:
    """Whether somebody has this port."""
    ip = ip_address(at[0])
    table = ("udp" if transport.startswith("u") else "tcp") + ("6" if ip.version == 6 else "")
    words = struct.unpack(f"={len(ip.packed) // 4}I", ip.packed)
    place = "".join(f"{word:08X}" for word in words) + f":{at[1]:04X}"
    return place in Path(f"/proc/net/{table}").read_text("ascii")


def wait_for(fact: Callable[[], object], what: str, seconds: float = START_S) -> None:
    """Return as soon as ``fact`` holds. Raise Unavailable when it does not in time."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise Unavailable(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def write_config(config: Config) -> None:
    """Write ``config`` as the qibai.toml of its home."""
    config.home.mkdir(parents=True, exist_ok=True)
    data = msgspec.to_builtins(config, enc_hook=str)
    lines = [f"node = {json.dumps(data['node'])}\n"] if data["node"] else []
    for name in (key for key, value in data.items() if isinstance(value, dict)):
        blocks = {key: data[name].pop(key) for key in ("peers", "links") if key in data[name]}
        lines += [f"[{name}]\n", *_entries(data[name])]
        for key, tables in blocks.items():
            for table in tables:
                lines += [f"[[{name}.{key}]]\n", *_entries(table)]
    config.file.write_text("".join(lines), "utf-8")


def _entries(table: dict[str, object]) -> list[str]:
    """JSON, which TOML reads alike; it has no word for nothing."""
    return [f"{key} = {json.dumps(value)}\n" for key, value in table.items() if value is not None]


class Platform:
    """Kamailio and, if media is anchored, rtpengine; a context manager. The database is somebody else's."""

    def __init__(self, config: Config, *, clock: Path | None = None) -> None:
        """``clock``: the file of a simulated time for the pilot's rules, see ``qibai.testing.clock``."""
        self.config = config
        self._clock = clock
        self._rtpengine: subprocess.Popen[bytes] | None = None
        self._kamailio: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What Kamailio said."""
        return self.config.log_dir / "kamailio.log"

    def __enter__(self) -> Self:
        self.config.log_dir.mkdir(parents=True, exist_ok=True)
        write_config(self.config)
        engine.render(self.config)
        if self._clock is not None:
            into_kamailio(self.config.run_dir, self._clock)
        try:
            if self.config.voice.media:
                self.start_rtpengine()
            self.start_kamailio()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_rtpengine(self) -> None:
        """Start rtpengine and wait until it answers."""
        self._rtpengine = self._start(engine.rtpengine_command(self.config), "rtpengine.log")
        port = self.config.voice.media_ng_port
        wait_for(lambda: mediacheck.answers(port), "rtpengine")

    def signal_rtpengine(self, how: signal.Signals) -> None:
        """Halt it, let it go on, or kill it; returns when a halt or an end has taken effect."""
        if self._rtpengine is not None:
            self._rtpengine.send_signal(how)
            if how is signal.SIGKILL:
                self._rtpengine.wait()
            elif how is signal.SIGSTOP:
                pid = self._rtpengine.pid
                wait_for(lambda: _halted(pid), "halt of rtpengine")

    def start_kamailio(self) -> None:
        """Start Kamailio and wait until its workers answer."""
        self._kamailio = self._start(engine.kamailio_command(self.config), "kamailio.log")
        wait_for(lambda: probes.voice_answers(self.config), f"Kamailio, see {self.log}")

    def kill_kamailio(self) -> None:
        """Kill Kamailio and its workers at once, as a crash would."""
        if self._kamailio is not None:
            _end(self._kamailio, signal.SIGKILL)

    def stop(self) -> None:
        """Stop what was started."""
        for process in (self._kamailio, self._rtpengine):
            if process is not None:
                _end(process, signal.SIGTERM)

    def _start(self, command: Sequence[str], log: str) -> subprocess.Popen[bytes]:
        with (self.config.log_dir / log).open("ab") as out:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=engine.kamailio_environment(self.config),
                process_group=0,
            )


def _halted(pid: int) -> bool:
    """Whether each thread of the process stands still: SIGSTOP reaches them one after the other."""
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a process and the group that it leads."""
    for number in (how, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
