"""A file that somebody removed or moved while a process writes it: who makes room, who tidies a disk."""

import os
from pathlib import Path

_CHUNK = 1 << 20


def removed_content(fd: int, path: Path) -> bytes | None:
    """All that the open file ``fd`` says if it is not at ``path`` any more; None: it is there.

    ``fd`` has to be open for reading, too. Raise OSError.
    """
    mine = os.fstat(fd)
    try:
        there = path.stat()
    except FileNotFoundError:
        pass
    else:
        if (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev):
            return None
    found = bytearray()
    while data := os.pread(fd, _CHUNK, len(found)):
        found += data
    return bytes(found)


def write_all(fd: int, data: bytes) -> None:
    """Write ``data``, however many writes that takes. Raise OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
