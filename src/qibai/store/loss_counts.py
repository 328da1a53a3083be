"""What Kamailio's workers and the recorder could not keep, counted where everybody can read it.

Each process counts in a file of its own, mapped into memory, so counting costs no system call and needs no
room on the disk once the file is there. A file outlives its process: the next process in its place goes on.
"""

import mmap
import os
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from qibai.core.losses import CALL_LOSSES

FOLDER: Final = "losses"
_SUFFIX: Final = ".counts"
_NAMES: Final = tuple(CALL_LOSSES)
#: For each name its count, then when it was last counted, in seconds since 1970.
_SLOT: Final = struct.Struct("<Qd")
_SIZE: Final = _SLOT.size * len(_NAMES)


class LossCounts:
    """The counts of one process; nobody else writes its file."""

    def __init__(self, run_dir: Path, name: str) -> None:
        """``name``: of the process's place. Without a file, which is then said, counts wait in memory."""
        self._map: mmap.mmap | bytearray = bytearray(_SIZE)
        self._path = run_dir / FOLDER / f"{name}{_SUFFIX}"
        try:
            self._map = self._file()
        except OSError as exc:
            print(
                f"losses of {name} are counted in memory alone: {exc.strerror}", file=sys.stderr, flush=True
            )

    def settle(self) -> None:
        """If the counts wait in memory, bring them into the file as soon as the disk takes it."""
        if isinstance(self._map, mmap.mmap):
            return
        try:
            found = self._file()
        except OSError:
            return
        for at in range(0, _SIZE, _SLOT.size):
            (kept, kept_at), (more, more_at) = _SLOT.unpack_from(found, at), _SLOT.unpack_from(self._map, at)
            _SLOT.pack_into(found, at, kept + more, max(kept_at, more_at))
        self._map = found

    def add(self, name: str, count: int = 1) -> None:
        """Count ``name``, a key of CALL_LOSSES."""
        at = _NAMES.index(name) * _SLOT.size
        _SLOT.pack_into(self._map, at, _SLOT.unpack_from(self._map, at)[0] + count, time.time())

    def _file(self) -> mmap.mmap:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _SIZE)
            return mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)


def read_losses(run_dir: Path) -> dict[str, tuple[int, float]]:
    """Each name's count over all processes of this home, and when it was last counted; 0.0: never."""
    found = dict.fromkeys(_NAMES, (0, 0.0))
    for data in _contents((run_dir / FOLDER).glob(f"*{_SUFFIX}")):
        for name, (count, at) in zip(_NAMES, _SLOT.iter_unpack(data), strict=True):
            found[name] = (found[name][0] + count, max(found[name][1], at))
    return found


def _contents(paths: Iterable[Path]) -> Iterable[bytes]:
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if len(data) == _SIZE:
            yield data
