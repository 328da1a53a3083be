"""The keys that the database knows of, by fingerprint: each number is given to one key alone."""

from pathlib import Path
from typing import Final

from qibai.core.errors import Conflict, KeyFileError
from qibai.store import keyfile
from qibai.store.connection import SyncConnection
from qibai.store.failures import own_errors
from qibai.store.rotating import ROTATION_LOCK
from qibai.store.statements import load

_SQL: Final = load("rotation")
_COPY: Final = "copy the key file of the machine where keys were prepared or rotated"


def require_same(conn: SyncConnection, path: Path) -> None:
    """Raise KeyFileError where the file has another key of a number than is known; StoreUnavailable."""
    _compare(conn, path, newest=False)


def require_newest(conn: SyncConnection, path: Path) -> None:
    """``require_same``, and the file has every key that the database knows."""
    _compare(conn, path, newest=True)


def enter(conn: SyncConnection, path: Path) -> None:
    """Make the keys of the file known. Raise KeyFileError where others are known, StoreUnavailable."""
    with own_errors(), conn.cursor() as cur:
        made = keyfile.prints(path).items()
        rows = [{"section": section, "id": id, "print": print_} for (section, id), print_ in made]
        cur.executemany(_SQL["enter_key"], rows)
    require_same(conn, path)


def prepare(conn: SyncConnection, path: Path) -> dict[str, int]:
    """Have in each section of the file a key that nothing uses yet, known to the database; returns their ids.

    Raise Conflict, KeyFileError where the file is not the newest, StoreUnavailable.
    """
    with own_errors(), conn.transaction():
        if conn.execute("SELECT pg_try_advisory_xact_lock(%s)", [ROTATION_LOCK]).fetchone() != (True,):
            raise Conflict("keys are prepared or rotated just now; wait for the end of that")
        require_newest(conn, path)
        ids = keyfile.prepare(path)
        enter(conn, path)
    return ids


def _compare(conn: SyncConnection, path: Path, *, newest: bool) -> None:
    have = keyfile.prints(path)
    with own_errors():
        known = conn.execute(_SQL["made_keys"]).fetchall()
    for section, id, print_ in known:
        found = have.get((section, id))
        if found is None and newest:
            raise KeyFileError(f"{path} is not the newest: it has no {section} key {id}; {_COPY}")
        if found not in (None, print_):
            raise KeyFileError(f"{path} has another {section} key {id} than its database knows; {_COPY}")
