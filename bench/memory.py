"""Memory of the API over a million binds: what it holds must not grow with what it has served."""

from pathlib import Path
from typing import Final

from bench.binds import wrk
from bench.figures import Figure, Report
from bench.world import World, api

AT_MOST_GROWN: Final = 1.1
_CLIENTS: Final = 64
_STEP_S: Final = 5


def run(world: World, report: Report, *, requests: int) -> None:
    """Resident memory of all API processes after ``requests`` binds, against that after a tenth of them."""
    with api(world) as served:
        done, early, highest = 0.0, 0.0, 0.0
        while done < requests:
            rate, refused = wrk(world, served.url, _CLIENTS, _STEP_S)
            if refused:
                raise RuntimeError(f"{refused} requests were refused")
            done += rate * _STEP_S
            resident = _resident_mb(served.pid)
            report.say(f"memory: {done:,.0f} binds, {resident:.0f} MB")
            highest = max(highest, resident)
            if not early and done >= requests / 10:
                early = resident
    name = f"API, {world.api_workers} workers, the most over {requests:,} binds"
    base = f"after {requests // 10:,}"
    report.add(Figure("memory", name, "MB", [highest], base, [early], at_most=AT_MOST_GROWN))


def _resident_mb(root: int) -> float:
    """Of the process and all that came from it."""
    parents: dict[int, int] = {}
    resident: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            lines = (entry / "status").read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        parents[int(entry.name)] = int(fields["PPid"])
        resident[int(entry.name)] = int(fields.get("VmRSS", "0").split()[0]) / 1024
    total = 0.0
    for pid, mb in resident.items():
        at = pid
        while at != root and at in parents:
            at = parents[at]
        total += mb * (at == root)
    return total
