"""A hold on a folder whose files a process removes once PostgreSQL has what they say.

A backup copies this folder while the platform runs. What is removed after the backup's snapshot of the
database, but before the copy, would be in neither. So a backup holds the folder first.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_NAME: Final = "hold"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nothing is removed from ``folder`` in this block. A remover that is at work is waited for."""
    fd = _open(folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextmanager
def removing(folder: Path) -> Iterator[bool]:
    """Yields True if files may be removed in this block, False while somebody holds ``folder``."""
    fd = _open(folder)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def _open(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # somebody may have removed it
    fd = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    owner = folder.stat()
    if os.geteuid() == 0 and os.fstat(fd).st_uid != owner.st_uid:  # the file is the platform's
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd
