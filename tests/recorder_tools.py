"""Events of whole calls, as voice writes them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from database_tools import as_platform
from node_tools import clock_ahead
from qibai.core.calls import fold
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.ids import DistinctIds
from qibai.store.calls import merge_calls
from qibai.store.connection import Connection

CODE = 12_345_678
T0 = 1_700_000_000.25
_IDS = DistinctIds(0, 0)


def answered_call(
    id: int | None = None, *, node: str = "n1", start: float = T0, **answer: Any
) -> list[CallEvent]:
    """Decided, ringing, answered after 2 s, hung up by the callee 10.5 s later."""
    id = _IDS.new() if id is None else id

    def event(kind: CallEventKind, after: float, **more: Any) -> CallEvent:
        return CallEvent(kind=kind, code=CODE, call_id=id, at=start + after, node=node, **more)

    return [
        event(
            CallEventKind.DECIDED,
            0,
            tenant_id=1,
            binding_id=77,
            called=42,
            shown=43,
            caller=b"sealed-a",
            callee=b"sealed-b",
            max_call_s=3600,
        ),
        event(CallEventKind.RINGING, 1),
        event(CallEventKind.ANSWERED, 2, **({"legs": b"sealed-legs", "media_id": "m"} | answer)),
        event(CallEventKind.ENDED, 12.5, reason="answered", ended_by="callee", q850=16),
    ]


async def merge_events(conn: Connection, events: Iterable[CallEvent]) -> None:
    """Store what the events say, as the recorder does with a batch."""
    await merge_calls(conn, fold(events))


Poll = Callable[[], Any]


def wait_for(fact: Poll, seconds: float = 60.0) -> Any:
    """Poll until ``fact`` is true, and return it; fail after that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = fact()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come true in time")


class SetClock:
    """A clock of the day for a process of its own, which can be set while that runs; monotonic time stays."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0.0)

    def set(self, ahead_s: float) -> None:
        """So far ahead of the tests' clock from now on."""
        draft = self._file.with_suffix(".new")
        draft.write_text(clock_ahead(ahead_s))
        draft.replace(self._file)

    def environ(self) -> dict[str, str]:
        """The environment for the process."""
        library = subprocess.run(
            ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"],
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        kept = {name: value for name, value in os.environ.items() if name != "FAKETIME"}  # it would go before
        return kept | {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(Path(__file__).parent / "later"),
        }


class RecorderProcess:
    """``qibai recorder`` in a process of its own; a context that ends it."""

    def __init__(self, home: Path, clock: SetClock | None = None, **env: str) -> None:
        self._home = home
        if "QIBAI_STORE_DSN" in env:
            env["QIBAI_STORE_DSN"] = as_platform(env["QIBAI_STORE_DSN"])
        around = dict(os.environ) if clock is None else clock.environ()
        self._env = around | {"QIBAI_NODE": "n1", "QIBAI_VOICE_MEDIA": "false"} | env
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RecorderProcess":
        code = (
            "import sys; from qibai.config import load; from qibai.records.recorder import run;"
            " run(load(sys.argv[1]))"
        )
        log = (self._home / "recorder.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, str(self._home)], env=self._env, stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        """kill -9"""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def stats(self) -> dict[str, Any]:
        """What it says of itself; empty before it does."""
        try:
            found: dict[str, Any] = json.loads((self._home / "run" / "recorder.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def __enter__(self) -> "RecorderProcess":
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
