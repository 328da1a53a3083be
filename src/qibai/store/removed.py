"""A file that somebody removed or moved while a process writes it: who makes room, who tidies a disk."""

import os
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 20


def is_there(fd: int, path: Path) -> bool:
    """Whether the open file ``fd`` is the file at ``path``. Raise OSError."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def removed_content(fd: int, path: Path) -> bytes | None:
    """All that the open file ``fd`` says if it is not at ``path`` any more; None: it is there.

    ``fd`` has to be open for reading, too. Raise OSError.
    """
    if is_there(fd, path):
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
