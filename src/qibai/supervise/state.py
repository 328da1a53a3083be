"""What others see of a running supervisor: a lock that dies with it, its process id, each part's state."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from qibai.config import Config
from qibai.core.errors import Conflict, Unavailable
from qibai.supervise import control


def _lock_file(config: Config) -> Path:
    return config.run_dir / "supervisor.pid"


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Be the one supervisor of this home. Raise Conflict when another is."""
    try:
        for folder in (config.home, config.run_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = _lock_file(config).open("a+")
    except OSError as exc:
        raise Unavailable(f"{config.run_dir} cannot be used: {exc.strerror}") from None
    with opened as file:
        if not _locked(file):
            raise Conflict(f"the platform in {config.home} runs already; see `qibai status`")
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _locked(file: TextIO) -> bool:
    for _ in range(10):  # `supervisor_pid` of somebody else holds the lock for an instant
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def supervisor_pid(config: Config) -> int | None:
    """The running supervisor's process id; None: there is none."""
    try:
        with _lock_file(config).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
    except (OSError, ValueError):
        pass
    return None


def runs(pid: int) -> bool:
    """Whether that process is there and has not ended; one that only waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def read(config: Config) -> dict[str, dict[str, Any]]:
    """The parts' states as the supervisor says; empty when nothing runs."""
    if supervisor_pid(config) is None:
        return {}
    said = control.ask(config, "parts")
    found: dict[str, dict[str, Any]] = (said or {}).get("parts", {})
    return found
