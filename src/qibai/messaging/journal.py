"""The journal: facts on local disk, so that no answer of a peer depends on the database being there.

One writer, one line a fact, one write: what is written outlives the death of the process at once, and a power
cut once ``synced`` has returned. A file is removed when PostgreSQL has all that it says.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from qibai.core.errors import ConfigError, StoreUnavailable
from qibai.files import sync_folder
from qibai.messaging.facts import Fact, facts_of, line_of
from qibai.store.hold import removing
from qibai.store.removed import is_there, removed_content, write_all

SUFFIX: Final = ".facts"
MAX_BYTES: Final = 1 << 20
MAX_AGE_S: Final = 5.0
LINGER_S: Final = 0.01  #: a receipt waits so long for others, to be made safe with them

_log = structlog.get_logger("gateway")


class Journal:
    """The journal of one node; holds its folder's lock, so that no two gateways work on the same messages."""

    def __init__(self, folder: Path) -> None:
        """Raise ConfigError when another gateway runs here."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigError("a gateway runs on this home already") from None
        self._old = sorted(folder.glob(f"*{SUFFIX}"))
        self._fd = -1
        self._path: Path | None = None
        self._size = 0
        self._opened_at = 0.0
        self._gathered: list[
            tuple[Fact, Callable[[], object]]
        ] = []  #: that wait for the next sync to be written
        self._unsynced: list[int] = []  #: files that are complete
        self._syncing = asyncio.Lock()
        self._next_sync: asyncio.Task[None] | None = None
        self.damaged = 0  #: lines that could not be read

    def read(self) -> list[Fact]:
        """What earlier gateways left, oldest first; ``release`` removes it."""
        found = []
        for path in self._old:
            for fact in facts_of(path.read_bytes()):
                if fact is None:
                    self.damaged += 1
                    _log.error("a line of the journal cannot be read", file=path.name)
                else:
                    found.append(fact)
        return found

    def append(self, *facts: Fact) -> None:
        """Write facts down. Raise StoreUnavailable when the disk refuses: nothing may be done about them."""
        data = b"".join(map(line_of, facts))
        for _ in range(2):  # a line torn by a full disk ends its file; a new file may still take it
            try:
                if self._fd < 0:
                    self._open()
                else:
                    self._save_removed()
                if os.write(self._fd, data) == len(data):
                    self._size += len(data)
                    return
            except OSError as exc:
                _log.error("the journal cannot be written", error=exc.strerror)
            self._close()
        raise StoreUnavailable("the journal cannot be written; is the disk full?")

    async def keep(self, fact: Fact, apply: Callable[[], object]) -> None:
        """Write a fact down together with others, apply it, and return once it is safe from a power cut.

        Raise StoreUnavailable.
        """
        self._gathered.append((fact, apply))
        await self.synced()

    async def synced(self) -> None:
        """Return once all that is written is safe from a power cut. Raise StoreUnavailable."""
        if self._next_sync is None:
            self._next_sync = asyncio.create_task(self._sync())
        await asyncio.shield(self._next_sync)

    def turn(self) -> list[Path]:
        """Begin a new file if it is time to; the files that are complete. See ``release``."""
        due = self._size >= MAX_BYTES or time.monotonic() - self._opened_at >= MAX_AGE_S
        if self._fd >= 0 and self._size and due:
            self._close()
        return list(self._old)

    def release(self, files: Sequence[Path]) -> None:
        """PostgreSQL has all that these say. While a backup holds the folder they stay, for the next call."""
        with removing(self._folder) as free:
            if not free:
                return
            for path in files:
                path.unlink(missing_ok=True)
                self._old.remove(path)
        if not self._old and self._next_sync is None and not self._syncing.locked():
            self._drop_unsynced()  # they are gone, and nobody waits for them

    def backlog(self) -> int:
        """Bytes that a restart would read."""
        return self._size + sum(path.stat().st_size for path in self._old if path.exists())

    def close(self) -> None:
        """Let go of the folder."""
        self._close()
        self._drop_unsynced()
        os.close(self._lock)

    def _save_removed(self) -> None:
        """Write into a new file what the file said that somebody removed."""
        content = None if self._path is None else removed_content(self._fd, self._path)
        if content is None:
            return
        os.close(self._fd)
        self._fd = -1
        self._open()
        write_all(self._fd, content)
        self._size = len(content)
        _log.error("somebody removed the journal; what it said is written again", folder=str(self._folder))

    def _hold_lock(self) -> None:
        """Hold the lock that is in the folder now: somebody may have removed ours. Raise OSError."""
        path = self._folder / "lock"
        if is_there(self._lock, path):
            return
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        os.close(self._lock)
        self._lock = lock

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._hold_lock()
        path = self._folder / f"{time.time_ns():020d}{SUFFIX}"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC, 0o600)
        sync_folder(self._folder)
        self._path = path
        self._size = 0
        self._opened_at = time.monotonic()

    def _close(self) -> None:
        if self._fd >= 0 and self._path is not None:
            self._unsynced.append(self._fd)
            self._fd = -1
            self._old.append(self._path)
            self._size = 0

    def _drop_unsynced(self) -> None:
        for fd in self._unsynced:
            os.close(fd)
        self._unsynced.clear()

    async def _sync(self) -> None:
        await asyncio.sleep(LINGER_S)
        async with self._syncing:
            self._next_sync = None  # what comes from here on waits for the next
            gathered, self._gathered = self._gathered, []
            if gathered:
                self.append(*(fact for fact, _ in gathered))
                for _, apply in gathered:  # at once: a flush must not take the line for stored before
                    apply()
            done, self._unsynced = self._unsynced, []
            if self._fd >= 0:
                done.append(os.dup(self._fd))
            try:
                await asyncio.to_thread(_sync_all, done)
            except OSError as exc:
                raise StoreUnavailable("the journal cannot be written; is the disk full?") from exc


def _sync_all(fds: Sequence[int]) -> None:
    try:
        for fd in fds:
            os.fdatasync(fd)
    finally:
        for fd in fds:
            os.close(fd)
