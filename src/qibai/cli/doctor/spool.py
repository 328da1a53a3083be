"""How much of the spool waits for the recorder."""

import contextlib
import time

from qibai.config import Config


def waiting(config: Config) -> tuple[int, float]:
    """(bytes of events not yet in the store, age in seconds of the oldest file that has some)."""
    count, oldest = 0, 0.0
    now = time.time()
    for path in config.spool_dir.glob("*.events") if config.spool_dir.is_dir() else ():
        with contextlib.suppress(OSError):  # taken away meanwhile
            info = path.stat()
            count += info.st_size
            oldest = max(oldest, now - info.st_mtime)
    return count, oldest
