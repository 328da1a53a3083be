"""Reading the spool: follow all files, remember how far they were dealt with, remove what is done."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from qibai.core.checkedlines import bodies_of
from qibai.core.events import DECODER, CallEvent
from qibai.files import replace_file, sync_folder
from qibai.store.hold import removing
from qibai.store.spool import MAX_AGE_S, SUFFIX

Positions = dict[str, int]  #: file name → offset of the first line not yet read

CHUNK: Final = 1 << 20  #: bytes a read of one file takes at most
_OFFSETS: Final = msgspec.json.Decoder(dict[str, int])


class SpoolReader:
    """One reading of the spool, from given positions on; several may read the same files."""

    def __init__(self, folder: Path, positions: Mapping[str, int] | None = None) -> None:
        self._folder = folder
        self.positions: Positions = dict(positions or {})
        self.damaged = 0  #: lines skipped: a wrong checksum, or torn at the end of a finished file

    def files(self) -> list[str]:
        """The names of all spool files, in the order of their names: by writer, then by age."""
        try:
            with os.scandir(self._folder) as found:
                return sorted(entry.name for entry in found if entry.name.endswith(SUFFIX))
        except FileNotFoundError:
            return []

    def read(
        self, limit: int = 4 * CHUNK, *, upto: Mapping[str, int] | None = None
    ) -> tuple[list[CallEvent], bool]:
        """Events not yet read, some ``limit`` bytes at most, and whether that was all there is.

        ``upto``: where another reading stands; then no file is read beyond that.
        """
        events: list[CallEvent] = []
        left, all_read = limit, True
        for name in self.files():
            start = self.positions.get(name, 0)
            most = min(left, CHUNK)
            if upto is not None:
                most = min(most, upto.get(name, 0) - start)
            data = self._bytes(name, start, most) if most > 0 else b""
            if not data:
                continue
            end = data.rfind(b"\n") + 1
            if end == 0 and len(data) >= CHUNK:  # no line is that long: skip what is no line
                self.damaged += 1
                end = len(data)
            self.positions[name] = start + end
            events += self._events(data[:end])
            left -= end
            all_read = all_read and len(data) < most
            if left <= 0:
                return events, False
        return events, all_read

    def behind(self, positions: Mapping[str, int]) -> bool:
        """Whether this reading has yet to come where the other stands, in the files that are there."""
        return any(self.positions.get(name, 0) < positions.get(name, 0) for name in self.files())

    def backlog(self) -> int:
        """Bytes not yet read."""
        total = 0
        for name in self.files():
            with contextlib.suppress(FileNotFoundError):
                total += (self._folder / name).stat().st_size - self.positions.get(name, 0)
        return total

    def remove_done(self, keep_s: float, done: Mapping[str, int]) -> list[str]:
        """Remove the files that ended ``keep_s`` seconds ago and were read whole, as ``done`` says.

        While a backup holds the folder nothing is removed; the next call does it.
        """
        with removing(self._folder) as free:
            return self._remove_done(keep_s, done) if free else []

    def _remove_done(self, keep_s: float, done: Mapping[str, int]) -> list[str]:
        names = self.files()
        removed = []
        now = self._now()
        for name, newer in zip(names, [*names[1:], ""], strict=False):
            path = self._folder / name
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if not _finished(name, newer, now - status.st_mtime) or now - status.st_mtime < keep_s:
                continue
            end = done.get(name, 0)
            if end < status.st_size:
                torn = self._bytes(name, end, CHUNK)
                if b"\n" in torn:
                    continue
                self.damaged += 1  # its writer died in mid-write
            path.unlink(missing_ok=True)
            self.positions.pop(name, None)
            removed.append(name)
        return removed

    def _now(self) -> float:
        """The time by the clock that the files' own times are of, which may be a file server's."""
        probe = self._folder / "clock"
        try:
            probe.touch(0o600)
            return probe.stat().st_mtime
        except OSError:  # a full disk
            return time.time()

    def sync(self, synced: Positions) -> None:
        """Make durable what grew since the sizes in ``synced``, and note the new sizes there."""
        names = self.files()
        fresh = False
        for name in names:
            try:
                fd = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                size = os.fstat(fd).st_size
                if synced.get(name, -1) != size:
                    os.fdatasync(fd)
                    fresh = fresh or name not in synced
                    synced[name] = size
            finally:
                os.close(fd)
        for gone in synced.keys() - set(names):
            del synced[gone]
        if fresh:
            sync_folder(self._folder)

    def _bytes(self, name: str, start: int, most: int) -> bytes:
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, most, start)
        finally:
            os.close(fd)

    def _events(self, data: bytes) -> Iterator[CallEvent]:
        for body in bodies_of(data):
            try:
                if body is None:
                    raise ValueError
                yield DECODER.decode(body)
            except (ValueError, msgspec.MsgspecError):
                self.damaged += 1


class OffsetFile:
    """Where the recorder stands, kept over its restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Positions:
        """The positions; none, so that everything is read again, when they are missing or damaged."""
        try:
            return _OFFSETS.decode(self._path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return {}

    def save(self, positions: Mapping[str, int]) -> None:
        """Replace the file as a whole, durably."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # somebody may have removed it
        replace_file(self._path, msgspec.json.encode(dict(positions)), durable=True)


def _finished(name: str, newer: str, age_s: float) -> bool:
    """Whether no more lines can come: its writer has begun another file, is dead, or has it too long."""
    stem = name.rpartition("-")[0]
    if newer.rpartition("-")[0] == stem or age_s > 2 * MAX_AGE_S:
        return True
    pid = stem.rpartition("-")[2]
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
