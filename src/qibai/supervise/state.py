"""What others see of a running supervisor: a lock that dies with it, its process id, each part's state."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from qibai.config import Config
from qibai.core.errors import Conflict


def _lock_file(config: Config) -> Path:
    return config.run_dir / "supervisor.pid"


def _state_file(config: Config) -> Path:
    return config.run_dir / "parts.json"


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Be the one supervisor of this home. Raise Conflict when another is."""
    config.run_dir.mkdir(parents=True, exist_ok=True)
    with _lock_file(config).open("a+") as file:
        if not _locked(file):
            raise Conflict(f"the platform in {config.home} runs already; see `qibai status`")
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        write(config, {})
        yield
        _state_file(config).unlink(missing_ok=True)


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


def write(config: Config, parts: dict[str, dict[str, Any]]) -> None:
    """Publish the parts' states, whole or not at all."""
    path = _state_file(config)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(parts))
    draft.replace(path)


def read(config: Config) -> dict[str, dict[str, Any]]:
    """The parts' states as last published; empty when nothing runs."""
    if supervisor_pid(config) is None:
        return {}
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, dict[str, Any]] = json.loads(_state_file(config).read_text())
        return found
    return {}
