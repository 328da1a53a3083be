"""The spool: call events on local disk, so that no record depends on the database being there.

A writer has a file of its own and adds one line an event, in one write: a line is there whole or, after a
crash in mid-write, torn at the end of its file. Lines outlive the death of the process at once (page cache);
a power cut may cost the last second, as the recorder calls ``fdatasync`` once a second: a sync for each event
would put a disk's latency into every call. A file that somebody removes while it is written is written
again, whole. Before the disk is full, ``has_room`` is False and new calls
are refused, and what is left of it takes the ends of calls that stand. An event that is lost all the
same is counted, and said on stderr once a second.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qibai.core.checkedlines import checked_line
from qibai.core.events import ENCODER, CallEvent
from qibai.store.loss_counts import LossCounts
from qibai.store.removed import removed_content, write_all

SUFFIX: Final = ".events"
MAX_BYTES: Final = 8 << 20
MAX_AGE_S: Final = 60.0
COMPLAIN_S: Final = 1.0
LOOK_S: Final = 1.0
RESERVE: Final = 64 << 20  #: bytes kept for the ends of calls, or a tenth of the file system if that is less


def free_room(folder: Path) -> tuple[int, int]:
    """(free bytes, bytes to keep free) of the file system that ``folder`` is on. Raise OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, min(RESERVE, found.f_blocks * found.f_frsize // 10)


def line_of(event: CallEvent) -> bytes:
    """An event as a checked line of JSON."""
    return checked_line(ENCODER.encode(event))


class SpoolWriter:
    """Appends events for one process. Never raises into a call: see ``append``."""

    def __init__(self, folder: Path, name: str, counts: Callable[[], LossCounts] | None = None) -> None:
        """``name`` tells writers apart in one folder; the process id is added. ``counts`` takes losses."""
        self._counts = counts
        self._failing = False
        self._folder = folder
        self._stem = f"{name}-{os.getpid()}"
        self._fd = -1
        self._path = folder
        self._size = 0
        self._opened_at = 0.0
        self._complained_at = float("-inf")
        self._looked_at = float("-inf")
        self._has_room = self._said_room = True
        self.lost = 0  #: events that could not be written, as on a full disk

    def append(self, event: CallEvent) -> bool:
        """Write one event; False, and counted in ``lost``, when the disk refuses: a call is worth more."""
        line = line_of(event)
        for _ in range(2):  # a line torn by a full disk ends its file; a new file may still take it
            try:
                if self._fd < 0 or self._size >= MAX_BYTES or time.monotonic() - self._opened_at > MAX_AGE_S:
                    self._open()
                else:
                    self._save_removed()
                written = os.write(self._fd, line)
            except OSError:
                break
            if written == len(line):
                self._size += written
                return True
            self.close()
        self._lose(1)
        return False

    def has_room(self) -> bool:
        """Returns True if new calls may be taken. After a refusal, twice the reserve has to be free."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            try:
                free, reserve = free_room(self._folder if self._folder.exists() else self._folder.parent)
                room = free >= (reserve if self._has_room else 2 * reserve)
                if room and self._failing:  # for another reason than room: see whether a file can be made
                    self._open()
                    self._failing = False
            except OSError:
                room = False
            if room and self._counts is not None:
                self._counts().settle()
            if room != self._said_room:
                self._said_room = room
                says = (
                    "takes events again: calls are taken"
                    if room
                    else "is full or fails: new calls are refused"
                )
                print(f"spool: the disk {says}", file=sys.stderr, flush=True)
            self._has_room = room
        return self._has_room

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{self._stem}-{time.time_ns():020d}{SUFFIX}"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._path = path
        self._size = 0
        self._opened_at = time.monotonic()

    def _save_removed(self) -> None:
        """Write into a new file what the file said that somebody removed; the recorder may read it twice."""
        content = removed_content(self._fd, self._path)
        if content is None:
            return
        try:
            self._open()
            write_all(self._fd, content)
        except OSError:
            self._lose(content.count(b"\n"))
            raise
        self._size = len(content)
        print(
            f"spool: somebody removed {self._path.parent} or a file in it; nothing of it is lost",
            file=sys.stderr,
            flush=True,
        )

    def _lose(self, events: int) -> None:
        """Count events that the disk did not take; until it does, there is no room."""
        self.close()
        self.lost += events
        self._failing = True
        self._has_room = False
        if self._counts is not None:
            self._counts().add("call_events_lost", events)
        self._complain()

    def _complain(self) -> None:
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_S:
            self._complained_at = now
            print(f"spool: the disk refuses call events; {self.lost} lost so far", file=sys.stderr)
