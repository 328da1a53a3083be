"""Memory of the recorder over many calls: what it holds must not grow with what it has recorded."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from bench.figures import Figure, Report
from bench.world import World, process, wait_until
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.ids import DistinctIds
from qibai.store.spool import SpoolWriter

#: If 170 bytes of each call stayed, it would be 1.4.
AT_MOST_GROWN: Final = 1.2
#: How long an ended call is remembered in the bench: long before a tenth of the calls, as 300 s would not be.
REMEMBER_S: Final = 5.0
_RATE: Final = 1_000
_CODE: Final = 10_000_000
_PROGRAM: Final = """
import asyncio
from qibai.config import load
from qibai.records.recorder import Recorder
asyncio.run(Recorder(load(), remember_s={remember_s}).run())
"""


def run(world: World, report: Report, *, calls: int) -> None:
    """Resident memory after ``calls`` whole calls of four events each, against that after a tenth of them."""
    ids = DistinctIds(0, 0)
    spool = SpoolWriter(world.config().spool_dir, "bench")
    stats = world.config().run_dir / "recorder.json"
    stats.unlink(missing_ok=True)
    env = {**os.environ, "QIBAI_HOME": str(world.home)}
    command = [sys.executable, "-c", _PROGRAM.format(remember_s=REMEMBER_S)]
    early = highest = 0.0
    log = world.home / "recorder.log"
    with process(command, log, env) as child:
        wait_until(stats.exists, "the recorder", log)
        for done in range(0, calls, _RATE):
            began = time.monotonic()
            for _ in range(_RATE):
                for event in _call(ids.new()):
                    spool.append(event)
            behind = (done + _RATE) * 4 - _events(stats)
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began)) + behind // (20 * _RATE))
            resident = _resident_mb(child.pid)
            highest = max(highest, resident)
            if done + _RATE == calls // 10:
                early = highest
            if (done + _RATE) % (calls // 10) == 0:
                report.say(f"recorder: {done + _RATE:,} calls, {resident:.1f} MB")
        wait_until(lambda: _events(stats) >= calls * 4, "all calls on record", log)
        highest = max(highest, _resident_mb(child.pid))
    spool.close()
    name = f"recorder, the most over {calls:,} calls"
    base = f"the most until {calls // 10:,}"
    report.add(Figure("recorder", name, "MB", [highest], base, [early], at_most=AT_MOST_GROWN))


def _call(id: int) -> list[CallEvent]:
    at = time.time()

    def event(kind: CallEventKind, after: float, **more: object) -> CallEvent:
        return CallEvent(kind=kind, code=_CODE, call_id=id, at=at + after, node="bench", **more)  # type: ignore[arg-type]

    return [
        event(
            CallEventKind.DECIDED,
            0,
            tenant_id=1,
            binding_id=77,
            called=42,
            shown=43,
            caller=b"c" * 40,
            callee=b"d" * 40,
            max_call_s=3600,
        ),
        event(CallEventKind.RINGING, 0.1),
        event(CallEventKind.ANSWERED, 0.2, legs=b"l" * 600, media_id="m"),
        event(CallEventKind.ENDED, 0.3, reason="answered", ended_by="callee", q850=16),
    ]


def _events(stats: Path) -> int:
    """Stored so far, as the recorder says."""
    return int(json.loads(stats.read_bytes())["events"])


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
