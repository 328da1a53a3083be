"""Simulated time for the pilot's rules, and for them alone: a file says by how many seconds it is ahead.

Only a process into which test code was put (``follow``) looks at this file; the platform as installed has
no setting for it. Bindings, quarantine and calls keep to the real time.
"""

from pathlib import Path
from typing import Final

from qibai.core.pilot import shift_by
from qibai.voice import engine

_LINES: Final = "\nfrom qibai.testing.clock import follow\n\nfollow({path!r})\n"


def follow(path: str) -> None:
    """From now on the rules' time in this process is ahead by what the file says at that moment."""
    file = Path(path)
    shift_by(lambda now: now + float(file.read_text("ascii") or 0))


class Clock:
    """The file, and the time that it makes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("0", "ascii")

    def set(self, at: float, now: float) -> None:
        """Make it ``at`` (Unix seconds) at the real time ``now``; the clock goes on from there."""
        new = self.path.with_suffix(".new")
        new.write_text(repr(at - now), "ascii")
        new.replace(self.path)


def into_kamailio(run_dir: Path, clock: Path) -> None:
    """Have the routing script that ``engine.render`` wrote follow a clock."""
    script = run_dir / engine.SCRIPT
    script.write_text(script.read_text("utf-8") + _LINES.format(path=str(clock)), "utf-8")
