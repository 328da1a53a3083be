"""How the parts are doing, looked at now: their processes, what they answer, and the ports they have."""

import json
import time
from collections.abc import Iterable
from typing import Any, Final

import psutil

from qibai.config import Config
from qibai.supervise import portuse, probes, state
from qibai.supervise.apart import parts_apart
from qibai.supervise.parts import Part, parts

_SILENT_S: Final = 10.0


def look(config: Config, *, ask: bool = True) -> dict[str, dict[str, Any]]:
    """The parts of this home; a part is ``ready`` only if it answers now. Empty: none runs.

    They are those that the supervisor keeps; without a supervisor, those that systemd should run: a part
    without a process is ``stopped``, and nobody counts restarts (None).

    Without ``ask`` only their processes are looked at: ``config`` does not say where the parts listen.
    """
    known = {part.name: part for part in parts(config)}
    supervised = state.supervisor_pid(config) is not None
    found = state.read(config) if supervised else _apart(config, known)
    for name, facts in found.items():
        if facts["state"] == "ready":
            wrong = _wrong(config, known.get(name) if ask else None, facts)
            if wrong:
                facts |= {"state": "failing", "says": wrong}
    return found


def _apart(config: Config, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    running = parts_apart(config, names)
    if not running:
        return {}
    return {
        name: {
            "state": "ready" if name in running else "stopped",
            "pid": running.get(name),
            "restarts": None,
            "says": "",
            "started": _started(running[name]) if name in running else None,
        }
        for name in names
    }


def _wrong(config: Config, part: Part | None, facts: dict[str, Any]) -> str:
    pid = facts["pid"]
    if pid is None or not state.runs(pid) or _started(pid) != facts["started"]:
        return "its process has ended"
    if part is None:
        return ""
    shared = portuse.trouble(part.ports, pid)
    if shared:
        return shared
    if part.name == "api":
        status = probes.api_status(config, "/readyz")
        if status != 200:
            return "it does not answer" if status is None else f"it answers {status} (/readyz)"
        return ""
    if part.name in ("recorder", "gateway"):
        return _silent(config, part.name)
    return "" if part.is_ready(pid) else "it does not answer"


def _silent(config: Config, name: str) -> str:
    path = config.run_dir / f"{name}.json"
    try:
        said = json.loads(path.read_bytes())
        silent = time.time() - said["at"]
        if silent > _SILENT_S:
            return f"it has not written {path} for {silent:.0f} s; it hangs, or the disk is full"
        waits = name == "gateway" or said["backlog_bytes"]  # a recorder with nothing to store does not ask it
        return "" if said["store_up"] or not waits else "the store does not answer it"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{path} cannot be read"


def _started(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
