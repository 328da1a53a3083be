"""Anchors: points of the audit trail noted outside the database, in ``audit.anchors`` of the home.

Whoever can change the whole database could still put an old state of it back; then the anchors say that the
trail was longer. A line ``?SEQ:HASH`` is written before the act's transaction commits, a line ``SEQ:HASH``
after it. So each entry of this node has a line, and each line without a question mark has its entry. A line
``!SEQ:HASH`` names the entry of a restore. What the lines before it say of that place and of later places
belongs to the trail that the restore replaced, and need not be found. The file only grows. It should leave
the machine: by backups, the log, or a sink (``[audit]``).
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
import structlog

from qibai.config import Config
from qibai.core.errors import AuditBroken, AuditUnanchored, QibaiError
from qibai.core.trail import Point
from qibai.files import sync_folder
from qibai.store import dsn
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.sinks import Sinks

INTERVAL_S: Final = 10.0
_INTENT: Final = "?"
_RESTORE: Final = "!"
_TAIL: Final = 1 << 16
_log: Final = structlog.get_logger("qibai.audit")


def path_of(config: Config) -> Path:
    """Where this home's anchors are."""
    return config.home / "audit.anchors"


def read(path: Path) -> list[Point]:
    """The anchors that must fit, in order; none where there is no file.

    Raise AuditBroken when the file is damaged.
    """
    return sorted(_binding(_lines(path)), key=lambda point: point.seq)


def note_restore(path: Path, entry: Point) -> None:
    """Note once that ``entry``, which the caller has found genuine, is a restore. Raise OSError."""
    if path.exists() and all(point != entry for mark, point in _lines(path) if mark != _INTENT):
        _append(path, [f"{_RESTORE}{entry}\n"])


def noted(path: Path) -> dict[int, set[bytes]]:
    """Digests by place: all that was noted, also what was only about to commit. Raise AuditBroken."""
    found: dict[int, set[bytes]] = {}
    for _, point in _lines(path):
        found.setdefault(point.seq, set()).add(point.hash)
    return found


class Witness:
    """Notes the acts of this node outside the database. Safe to be shared between threads."""

    def __init__(
        self,
        path: Path,
        node: str,
        keyring: Keyring,
        sinks: Sinks | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """``warn`` is given a sentence when the trail is not what it was; the log has it in any case."""
        self.path, self.node, self.keyring = path, node, keyring
        self._sinks, self._warn = sinks, warn

    @classmethod
    def of(cls, config: Config, keyring: Keyring, warn: Callable[[str], None] | None = None) -> "Witness":
        """As this deployment has it configured."""
        return cls(path_of(config), config.node, keyring, Sinks.of(config), warn)

    def intend(self, points: Sequence[Point]) -> None:
        """Note what is about to commit. Raise AuditUnanchored: then it must not."""
        last = _latest(self.path)
        if last is not None and points[0].seq <= last.seq:
            says = f"the trail ends at {points[0].seq - 1} now, but it had an entry {last.seq} that is gone"
            _log.error("audit trail broken", reason=says)
            if self._warn is not None:
                self._warn(f"warning: {says}; see qibai audit verify")
        if self._sinks is not None and self._sinks.required:
            self._sinks.send(points, self.node)
        try:
            _append(self.path, (f"{_INTENT}{point}\n" for point in points))
        except OSError as exc:
            _log.error("no anchor", error=type(exc).__name__)
            raise AuditUnanchored(
                f"this act was not done, as {self.path.name} cannot be written: {exc.strerror}"
            ) from None

    def confirm(self, points: Sequence[Point]) -> None:
        """Note what has committed; what keeps that from being noted is only said, as it was noted before."""
        try:
            _append(self.path, (f"{point}\n" for point in points))
        except OSError as exc:
            _log.error("no anchor", error=type(exc).__name__)
            if self._warn is not None:
                self._warn(f"warning: {self.path} cannot be written: {exc.strerror}")
        if self._sinks is not None and not self._sinks.required:
            try:
                self._sinks.send(points, self.node)
            except AuditUnanchored as exc:
                if self._warn is not None:
                    self._warn(f"warning: {exc.message}")


class Anchorer(threading.Thread):
    """Notes every ``interval_s`` seconds where the trail is, other nodes' acts too, in home and log."""

    def __init__(self, config: Config, interval_s: float = INTERVAL_S) -> None:
        super().__init__(name="anchors", daemon=True)
        self._config = config
        self._interval_s = interval_s
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._interval_s):
            try:
                point = anchor_now(self._config, Keyring.load(self._config.key_file))
                if point is not None:
                    _log.info("anchor", seq=point.seq, hash=point.hash.hex())
            except AuditBroken as exc:
                _log.error("audit trail broken", reason=exc.message)
            except (QibaiError, psycopg.Error, OSError) as exc:  # next time, then
                _log.warning("no anchor", error=type(exc).__name__)

    def stop(self) -> None:
        """End soon."""
        self._over.set()
        self.join()


def anchor_now(config: Config, keyring: Keyring) -> Point | None:
    """Note where the trail is; None when nothing is new.

    Raise AuditBroken when it is not sealed with our keys, or shorter than it was, StoreUnavailable.
    """
    from qibai.store.audit_verify import note_restores, sealed_head  # noqa: PLC0415  # it needs what stands above

    path = path_of(config)
    latest = _latest(path)  # before the head, which others may move on meanwhile
    with own_errors(), _connect(config) as conn:
        point = sealed_head(conn, keyring)
        if latest is not None and point.seq < latest.seq:
            note_restores(conn, keyring, path)
            latest = _latest(path)
    if latest is not None and (point.seq < latest.seq or (point.seq == latest.seq and point != latest)):
        raise AuditBroken(
            min(point.seq + 1, latest.seq),
            f"the trail ends at {point.seq} now, but it had an entry {latest.seq} that is gone",
        )
    if point == latest or point.seq == 0:
        return None
    Witness(path, config.node, keyring).confirm([point])
    return point


def _append(path: Path, lines: Iterable[str]) -> None:
    new = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        data = "".join(lines).encode()
        if os.write(fd, data) != len(data):
            raise OSError(28, "No space left on device")
        os.fsync(fd)
        if os.geteuid() == 0:  # the file is the platform's, also when root gave a command
            home = path.parent.stat()
            os.fchown(fd, home.st_uid, home.st_gid)
    finally:
        os.close(fd)
    if new:
        sync_folder(path.parent)


def _binding(lines: Iterable[tuple[str, Point]]) -> set[Point]:
    found: set[Point] = set()
    for mark, point in lines:
        if mark == _RESTORE:
            found = {one for one in found if one.seq < point.seq}
        if mark != _INTENT:
            found.add(point)
    return found


def _lines(path: Path) -> Iterable[tuple[str, Point]]:
    """Each line's mark and point. Raise AuditBroken."""
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        return
    except ValueError:
        raise _damaged(path) from None
    for line in text.splitlines():
        if line.strip():
            yield _line(path, line)


def _line(path: Path, line: str) -> tuple[str, Point]:
    mark = line[0] if line[0] in (_INTENT, _RESTORE) else ""
    try:
        return mark, Point.parse(line.removeprefix(mark))
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> AuditBroken:
    return AuditBroken(0, f"{path} is damaged; put a copy of it back")


def _latest(path: Path) -> Point | None:
    """The highest of the last anchors; what cannot be read here is named by ``audit verify``."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL, 0))
            lines = file.read().decode("ascii", "replace").splitlines()[size > _TAIL :]
    except OSError:
        return None
    found = []
    for line in lines:
        try:
            found.append(_line(path, line))
        except (AuditBroken, IndexError):
            continue
    return max(_binding(found), key=lambda point: point.seq, default=None)


def _connect(config: Config) -> psycopg.Connection[Any]:
    return psycopg.connect(dsn(config), connect_timeout=config.store.connect_timeout_s, autocommit=True)
