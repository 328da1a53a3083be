"""CPU time of whole process trees, from /proc."""

import os
from pathlib import Path
from typing import Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def tree_seconds(*roots: int) -> float:
    """User and system time of the processes ``roots``, all that came from them, and their ended children."""
    parents: dict[int, int] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            pid = int(entry.name)
            parents[pid] = int(fields[1])
            times[pid] = sum(int(ticks) for ticks in fields[11:15]) * _TICK_S
    total = 0.0
    for pid, seconds in times.items():
        at = pid
        while at not in roots and at in parents:
            at = parents[at]
        if at in roots:
            total += seconds
    return total
