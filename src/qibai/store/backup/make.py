"""Make a backup while the platform runs.

The order matters. The spool and the gateway's journal are held first, then the database's snapshot is taken,
then files are copied. So what a file says is in the snapshot or in the copy, or in both; both may be read
again. The audit trail's head is locked while the snapshot is taken and its anchors are copied: they fit.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from qibai import __version__
from qibai.config import Config
from qibai.core.errors import BackupFailed, BadRequest, StoreUnavailable
from qibai.files import sync_folder
from qibai.store import owner_dsn
from qibai.store.backup import manifest as manifests
from qibai.store.backup.manifest import BackupManifest
from qibai.store.backup.programs import run
from qibai.store.backup.state import LastBackup, note_backup
from qibai.store.failures import own_errors, why_not_connected
from qibai.store.hold import held
from qibai.store.keycheck import check_key_file
from qibai.store.keys import Keyring

DATABASE: Final = "database"
HOME: Final = "home"
JOBS: Final = 2
#: Files of the home that a backup has, as patterns. The key file is not among them: it goes elsewhere.
PATTERNS: Final = ("qibai.toml", "audit.anchors*", "spool/*.events", "spool/messages/*.facts")
_COUNTED: Final = ("binding", "call", "message", "audit")
_PREFIX: Final = "qibai-"
_LOCK_S: Final = 10

Progress = Callable[[str], None]


def make_backup(
    config: Config, target: Path, keys_to: Path | None, progress: Progress = lambda _: None
) -> tuple[Path, BackupManifest]:
    """Make a folder in ``target`` and return it with its manifest; ``keys_to`` gets a copy of the key file.

    The folder appears when it is complete, and not at all when something fails. Raise BadRequest when keys
    would lie beside the data, BackupFailed, KeyFileError or StoreUnavailable.
    """
    keyring = Keyring.load(config.key_file)
    target = target.absolute()
    if keys_to is not None and keys_to.resolve().is_relative_to(target.resolve()):
        raise BadRequest("keep the keys apart from the backup: whoever has both can read every number")
    try:
        if keys_to is not None:
            keys_to.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=keys_to):  # a bad place is found before anything is copied
                pass
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        _clear_drafts(target, config.node)
        with own_errors(), ExitStack() as stack:
            for folder in (config.spool_dir, config.spool_dir / "messages"):
                if folder.is_dir():
                    stack.enter_context(held(folder))
            return _make(config, keyring, target, keys_to, progress)
    except OSError as exc:
        raise BackupFailed(f"{exc.filename or target}: {exc.strerror}") from None


def prune(target: Path, node: str, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` backups of ``node`` in ``target``, and return what was removed."""
    found = []
    for folder in target.glob(f"{_PREFIX}*"):
        with contextlib.suppress(Exception):
            made = manifests.read(folder)
            if made.node == node:
                found.append((made.made_at, folder))
    old = [folder for _, folder in sorted(found)[:-keep]] if keep > 0 else []
    for folder in old:
        shutil.rmtree(folder)
    return old


def _make(
    config: Config, keyring: Keyring, target: Path, keys_to: Path | None, progress: Progress
) -> tuple[Path, BackupManifest]:
    dsn = owner_dsn(config)
    draft = target / f".{_PREFIX}{config.node}-{os.getpid()}.partial"
    draft.mkdir(mode=0o700)
    try:
        with _snapshot(dsn, config, draft) as (conn, snapshot, made_at):
            progress("copying the spool and the journal")
            _copy(config.home, draft / HOME)
            progress("dumping the database")
            args = ["--format=directory", f"--jobs={JOBS}", f"--snapshot={snapshot}"]
            run("pg_dump", dsn, [*args, "--no-owner", "--no-privileges", f"--file={draft / DATABASE}"])
            rows = {table: _count(conn, table) for table in _COUNTED}
            migrations = [name for (name,) in conn.execute("SELECT name FROM schema_version ORDER BY 1")]
            version = conn.info.server_version
            check_key_file(conn, config.key_file)  # a backup that nobody can open is none
        progress("computing digests")
        manifest = manifests.sealed(
            BackupManifest(
                qibai=__version__,
                node=config.node,
                made_at=made_at,
                server_version=version,
                migrations=migrations,
                rows=rows,
                keys=manifests.fingerprints(config.key_file),
                files=manifests.files_of(draft),
                seal_key=keyring.hash_ids[0],
            ),
            keyring,
        )
        (draft / manifests.FILE).write_bytes(manifests.encoded(manifest))
        keys = _copy_keys(config, keys_to, made_at) if keys_to is not None else ""
        _sync(draft)
        final = _name(target, config.node, made_at)
        draft.rename(final)
        sync_folder(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    note_backup(config, LastBackup(str(final), made_at, manifest.size, keys))
    return final, manifest


@contextmanager
def _snapshot(
    dsn: str, config: Config, draft: Path
) -> Iterator[tuple[psycopg.Connection[Any], str, datetime]]:
    """A read-only transaction, the name under which pg_dump sees what it sees, and the database's time."""
    try:
        trail = psycopg.connect(dsn, connect_timeout=config.store.connect_timeout_s)
        conn = psycopg.connect(dsn, connect_timeout=config.store.connect_timeout_s)
    except psycopg.OperationalError as exc:
        raise StoreUnavailable(f"{why_not_connected(exc)}; start the platform, or see store.dsn") from None
    with conn:
        with trail:
            trail.execute(f"SET lock_timeout = '{_LOCK_S}s'")
            trail.execute("SELECT 1 FROM audit_head FOR UPDATE")
            conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            conn.read_only = True
            row = conn.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
            assert row is not None  # noqa: S101  # a SELECT without FROM has one row
            _copy(config.home, draft / HOME, ("audit.anchors*",))
            trail.rollback()
        yield conn, row[0], row[1]


def _copy(home: Path, to: Path, patterns: tuple[str, ...] = PATTERNS) -> None:
    for pattern in patterns:
        for path in sorted(home.glob(pattern)):
            target = to / path.relative_to(home)
            if target.exists() or not path.is_file():
                continue  # anchors: those of the snapshot stay
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(path, target)
            target.chmod(0o600)


def _count(conn: psycopg.Connection[Any], table: str) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    return int(row[0]) if row else 0


def _copy_keys(config: Config, folder: Path, made_at: datetime) -> str:
    path = folder.absolute() / f"keys-{made_at:%Y%m%dT%H%M%S.%fZ}.json"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o600)
        file.write(config.key_file.read_bytes())
        file.flush()
        os.fsync(fd)
    sync_folder(folder)
    return str(path)


def _name(target: Path, node: str, made_at: datetime) -> Path:
    safe = "".join(c if c.isalnum() or c in "-." else "_" for c in node)
    return target / f"{_PREFIX}{safe}-{made_at:%Y%m%dT%H%M%S.%fZ}"


def _clear_drafts(target: Path, node: str) -> None:
    """Remove what backups of ``node`` that were killed left behind; other nodes may be at work here."""
    own = f".{_PREFIX}{node}-"
    for draft in target.iterdir():
        if not (draft.name.startswith(own) and draft.name.endswith(".partial")):
            continue
        pid = draft.name.removeprefix(own).removesuffix(".partial")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(draft, ignore_errors=True)


def _sync(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            fd = os.open(Path(root) / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_folder(Path(root))
