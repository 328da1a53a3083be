"""Anchors: points of the audit trail noted outside the database, in ``audit.anchors`` of the home.

Whoever can change the whole database could still put an old state of it back; then the anchors say that the
trail was longer. Each line is ``SEQ:HASH``; the log has them too, and should leave the machine.
"""

import os
import threading
from pathlib import Path
from typing import Any, Final

import psycopg
import structlog

from qibai.config import Config
from qibai.core.errors import AuditBroken, QibaiError
from qibai.core.trail import Point
from qibai.store import audit, dsn
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring

INTERVAL_S: Final = 10.0
_MOST: Final = 10_000  #: lines; then the older half goes
_log: Final = structlog.get_logger("qibai.audit")


def path_of(config: Config) -> Path:
    """Where this home's anchors are."""
    return config.home / "audit.anchors"


def read(path: Path) -> list[Point]:
    """The anchors in order; none where there is no file. Raise AuditBroken when the file is damaged."""
    try:
        lines = path.read_text("ascii").splitlines()
    except FileNotFoundError:
        return []
    try:
        points = [Point.parse(line) for line in lines if line.strip()]
    except ValueError:
        raise AuditBroken(0, f"{path} is damaged; put a copy of it back") from None
    return sorted(set(points), key=lambda point: point.seq)


def _note(path: Path, known: list[Point], point: Point) -> None:
    if len(known) >= _MOST:
        draft = path.with_suffix(".new")
        draft.write_text("".join(f"{one}\n" for one in known[_MOST // 2 :]), "ascii")
        draft.chmod(0o600)
        draft.replace(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
        file.write(f"{point}\n")
    if os.geteuid() == 0:  # the file is the platform's, also when root gave a command
        home = path.parent.stat()
        os.chown(path, home.st_uid, home.st_gid)


class Anchorer(threading.Thread):
    """Notes where the trail is every ``interval_s`` seconds, in the home and in the log."""

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
    path = path_of(config)
    known = read(path)  # before the head, which others may move on meanwhile
    with own_errors(), _connect(config) as conn:
        point = audit.sealed_head(conn, keyring)
    latest = known[-1] if known else None
    if latest is not None and (point.seq < latest.seq or (point.seq == latest.seq and point != latest)):
        raise AuditBroken(
            min(point.seq + 1, latest.seq),
            f"the trail ends at {point.seq} now, but it had an entry {latest.seq} that is gone",
        )
    if point == latest or point.seq == 0:
        return None
    _note(path, known, point)
    return point


def _connect(config: Config) -> psycopg.Connection[Any]:
    return psycopg.connect(dsn(config), connect_timeout=config.store.connect_timeout_s, autocommit=True)
