"""What the parts of this machine use: CPU and memory of their whole process trees."""

import time
from contextlib import suppress
from typing import Any, Final

import msgspec
import psutil

from qibai.config import Config
from qibai.supervise import state
from qibai.supervise.apart import parts_apart
from qibai.supervise.parts import parts

_LOOK_S: Final = 0.3


class PartUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One part and its children. `cpu_percent`: of one CPU, just now; `cpu_s`: since its processes began.

    `memory_bytes`: what they share is counted once, where the kernel tells (PSS), otherwise resident memory.
    """

    part: str
    pid: int
    processes: int
    cpu_percent: float
    cpu_s: float
    memory_bytes: int


def usage(config: Config) -> list[PartUsage]:
    """The parts that run here: the supervisor's, or those that systemd started."""
    trees = {name: _tree(pid) for name, pid in _pids(config).items()}
    before = {name: sum(map(_cpu, tree)) for name, tree in trees.items()}
    began = time.monotonic()
    if trees:
        time.sleep(_LOOK_S)
    found = []
    for name, tree in trees.items():
        if not tree:
            continue
        cpu = sum(map(_cpu, tree))
        passed = time.monotonic() - began
        found.append(
            PartUsage(
                part=name,
                pid=tree[0].pid,
                processes=len(tree),
                cpu_percent=round(max(0.0, 100 * (cpu - before[name]) / passed), 1),
                cpu_s=round(cpu, 2),
                memory_bytes=sum(map(_memory, tree)),
            )
        )
    return found


def _pids(config: Config) -> dict[str, int]:
    supervised: dict[str, dict[str, Any]] = state.read(config)
    if supervised:
        return {name: facts["pid"] for name, facts in supervised.items() if facts["pid"]}
    return parts_apart(config, (part.name for part in parts(config)))


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        pass
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
