"""How much of the spool waits for the recorder."""

import contextlib
import time

from qibai.config import Config
from qibai.store.spool_reader import OffsetFile, SpoolReader


def waiting(config: Config) -> tuple[int, float]:
    """(bytes of events not yet in the store, seconds since the last of them came)."""
    positions = OffsetFile(config.spool_dir / "recorder.offsets").load()
    reader = SpoolReader(config.spool_dir, positions)
    newest = 0.0
    for name in reader.files():
        with contextlib.suppress(OSError):  # taken away meanwhile
            info = (config.spool_dir / name).stat()
            if info.st_size > positions.get(name, 0):
                newest = max(newest, info.st_mtime)
    return reader.backlog(), time.time() - newest if newest else 0.0
