"""The place of a process among those of its node: a number that no other has while both run.

Kamailio's ranks would not do: at a restart the old processes may still be there as the new ones begin.
"""

import fcntl
import os
from pathlib import Path

from qibai.core.ids import PLACES


def take_place(folder: Path) -> int:
    """The lowest free place, held until this process ends. Raise OSError when there is none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for place in range(PLACES):
        held = os.open(folder / str(place), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
        else:
            return place  # the lock goes with the process, so ``held`` stays open
    raise OSError(f"all {PLACES} places in {folder} are taken")
