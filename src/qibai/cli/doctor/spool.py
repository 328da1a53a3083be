"""How the recorder is doing, as it says itself each second."""

import contextlib
import time

import msgspec

from qibai.cli.doctor.finding import Finding, fail, ok, skip
from qibai.config import Config
from qibai.store.spool import free_room

_STALE_S = 10.0
_MUCH = 1 << 20


class _Said(msgspec.Struct):
    at: float
    store_up: bool
    backlog_bytes: int
    live: int


def check_recorder(config: Config) -> Finding:
    """Whether the recorder runs and keeps up with the spool."""
    with contextlib.suppress(OSError):
        free, reserve = free_room(config.spool_dir)
        if free < reserve:
            return fail("spool", f"{free} bytes are free: no room for call records", "make room on its disk")
    mend = "qibai up, or systemctl start qibai-recorder"
    try:
        said = msgspec.json.decode((config.run_dir / "recorder.json").read_bytes(), type=_Said)
    except (OSError, msgspec.MsgspecError):
        return skip("spool", "no recorder has run here yet")
    age = time.time() - said.at
    if age > _STALE_S:
        return fail("spool", f"the recorder has been silent for {age:.0f} s", mend)
    if not said.store_up and said.backlog_bytes:
        return fail("spool", f"{said.backlog_bytes} bytes wait: the store does not answer", "mend the store")
    if said.backlog_bytes > _MUCH:
        return fail("spool", f"{said.backlog_bytes} bytes wait", "see the recorder's log")
    return ok("spool", f"{said.backlog_bytes} bytes wait, {said.live} calls live")
