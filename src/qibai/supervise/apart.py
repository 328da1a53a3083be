"""Parts that run without a supervisor, as systemd starts them."""

from collections.abc import Iterable
from typing import Final

import psutil

from qibai.config import Config
from qibai.settings.running import process_of
from qibai.supervise import state

_SLACK_S: Final = 2.0


def parts_apart(config: Config, names: Iterable[str]) -> dict[str, int]:
    """The process id of each of these parts that runs, by the part's own record."""
    found = {}
    for name in names:
        pid = process_of(config, name)
        if pid is not None and state.runs(pid) and _is_part(config, name, pid):
            found[name] = pid
    return found


def _is_part(config: Config, part: str, pid: int) -> bool:
    """Whether the process is older than the record of it: a process id may be somebody else's by now."""
    try:
        noted = (config.run_dir / "running" / f"{part}.json").stat().st_ctime
        return float(psutil.Process(pid).create_time()) <= noted + _SLACK_S
    except (OSError, psutil.Error):
        return False
