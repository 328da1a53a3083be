"""Put a backup back.

Everything is built in ``restoring`` inside the home and moved into place at the end, so a restore that is
interrupted leaves the home as it was. What was there before is moved aside, never removed. A restore holds a
lock on the home, so that neither another restore nor a start of the platform comes between.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from qibai.config import Config
from qibai.core.errors import BackupBroken, BackupFailed, Conflict, StoreUnavailable
from qibai.core.roles import Action
from qibai.files import sync_folder
from qibai.store import audit, audit_verify, dsn, owner_dsn
from qibai.store.actors import Actor
from qibai.store.backup.make import DATABASE, HOME, JOBS
from qibai.store.backup.manifest import BackupManifest, check_backup
from qibai.store.backup.programs import run
from qibai.store.backup.state import give_to_owner
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.pgbinaries import NEW_DATA_BYTES
from qibai.store.upgrade import upgrade

_ASIDE: Final = "aside"  #: in the stage once it is complete: the name of the folder for what was there
#: What the home of a platform has that a restore replaces.
_REPLACED: Final = ("pg", "pgpass", "pgpass.platform", "keys.json", "spool")
_KEPT: Final = ("qibai.toml",)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """``aside``: where what was there before is now; None when nothing was. ``rows``: counted afterwards."""

    manifest: BackupManifest
    aside: Path | None
    rows: dict[str, int]
    audit_seq: int


def restore_backup(
    config: Config,
    folder: Path,
    keys: Path | None,
    *,
    replace: bool,
    progress: Progress = lambda _: None,
    actor: Actor | None = None,
) -> Restored:
    """Check the backup in ``folder`` whole, then put it into ``config.home`` and its database.

    ``actor`` did it, as the audit trail then says; None: nothing is entered there.
    ``keys``: the key file of the backup; None: the home's own. ``replace``: what is there is moved aside.
    A database elsewhere (``store.dsn``) must be empty. Raise BackupBroken, KeyFileError, Conflict,
    BackupFailed, ConfigError or StoreUnavailable; the home is then as it was.
    """
    key_file = (keys or config.key_file).absolute()
    finish_interrupted(config)
    progress("checking the backup")
    manifest = check_backup(folder, key_file)
    try:
        config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(config.home):
            _require_place(config, keys, replace=replace)
            _require_room(config, manifest)
            stage = config.restore_dir
            _clear(config)
            stage.mkdir(mode=0o700)
            result = _build(config, stage, folder, key_file, manifest, progress, actor)
            _require_stopped(config)
            _move_in(config, stage)
    except OSError as exc:
        raise BackupFailed(f"{exc.filename or config.home}: {exc.strerror}") from None
    aside = config.home / result[1]
    return Restored(manifest, aside if aside.exists() else None, *result[0])


def _require_stopped(config: Config) -> None:
    if not config.store.dsn and EmbeddedPostgres(config).running_pid() is not None:
        raise Conflict("the database of this home runs; stop the platform first: qibai down")


def _require_room(config: Config, manifest: BackupManifest) -> None:
    """Raise BackupFailed unless the disk can hold what is restored: the server says it in many words."""
    needed = (manifest.size + (0 if config.store.dsn else NEW_DATA_BYTES)) >> 20
    free = shutil.disk_usage(config.home).free >> 20
    if free < needed:
        raise BackupFailed(f"{free} MB are free on the file system of {config.home}, {needed} MB are needed")


def _require_place(config: Config, keys: Path | None, *, replace: bool) -> None:
    _require_stopped(config)
    there = [name for name in _names(config) if (config.home / name).exists()]
    if keys is None:
        there = [name for name in there if name != config.key_file.name]
    if there and not replace:
        raise Conflict(f"{config.home} has {', '.join(there)}; with --replace it is moved aside first")


def drill(config: Config, folder: Path, keys: Path | None, progress: Progress = lambda _: None) -> Restored:
    """Restore into a temporary home with an embedded server, look whether all is there, and remove it.

    Raise what ``restore_backup`` raises, and BackupBroken when a table has other rows than the manifest says
    or the audit trail does not hold.
    """
    parent = config.home if config.home.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="drill-", dir=parent) as place:
        home = Path(place) / "home"
        store = msgspec.structs.replace(config.store, dsn="", owner_dsn="", read_dsn="")
        trial = msgspec.structs.replace(config, home=home, store=store)
        result = restore_backup(trial, folder, keys or config.key_file, replace=False, progress=progress)
        for table, count in result.manifest.rows.items():
            if result.rows[table] != count:
                raise BackupBroken(f"{table} has {result.rows[table]} rows, the backup had {count}")
        return result


def finish_interrupted(config: Config) -> None:
    """Finish the move into place of a restore that was interrupted there; remove what was never complete.

    Raise Conflict while a restore is under way.
    """
    stage = config.restore_dir
    if not stage.exists():
        return
    with _alone(config.home):
        if (stage / _ASIDE).exists():
            _require_stopped(config)
            _move_in(config, stage)
        else:
            _clear(config)


def _clear(config: Config) -> None:
    """Remove what a killed restore left, its server first."""
    stage = config.restore_dir
    if stage.exists():
        EmbeddedPostgres(_staged(config, stage)).kill()
        shutil.rmtree(stage)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"a restore into {home} is under way") from None
        yield
    finally:
        os.close(folder)


def _names(config: Config) -> tuple[str, ...]:
    anchors = tuple(path.name for path in config.home.glob("audit.anchors*"))
    return (*(_REPLACED if not config.store.dsn else _REPLACED[3:]), *anchors)


def _staged(config: Config, stage: Path) -> Config:
    return msgspec.structs.replace(config, home=stage)


def _build(  # noqa: PLR0917  # one step of a restore
    config: Config,
    stage: Path,
    folder: Path,
    key_file: Path,
    manifest: BackupManifest,
    progress: Progress,
    actor: Actor | None,
) -> tuple[tuple[dict[str, int], int], str]:
    staged = _staged(config, stage)
    for path in sorted((folder / HOME).rglob("*")):
        if path.is_file():
            target = stage / path.relative_to(folder / HOME)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(path, target)
            target.chmod(0o600)
    shutil.copyfile(key_file, staged.key_file)
    staged.key_file.chmod(0o600)
    server = None if config.store.dsn else EmbeddedPostgres(staged)
    try:
        if server is not None:
            progress("starting a server for the restored data")
            server.start()
        else:
            _require_empty(config)
        progress("restoring the database")
        how = [f"--jobs={JOBS}"] if server is not None else ["--single-transaction"]
        args = [*how, "--exit-on-error", "--no-owner", "--no-privileges", str(folder / DATABASE)]
        run("pg_restore", owner_dsn(staged), args)
        progress("checking what was restored")
        upgrade(staged)
        counted = _look(staged, manifest)
        if actor is not None:
            _record(staged, actor, manifest, folder)
    finally:
        if server is not None:
            server.stop()
    shutil.rmtree(stage / "run", ignore_errors=True)
    shutil.rmtree(stage / "log", ignore_errors=True)
    aside = f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for path in [stage, *stage.rglob("*")]:
        if path.relative_to(stage).parts[:1] != ("pg",):  # these are PostgreSQL's
            give_to_owner(path, config.home)
    (stage / _ASIDE).write_text(aside)
    return counted, aside


def _look(config: Config, manifest: BackupManifest) -> tuple[dict[str, int], int]:
    keyring = Keyring.load(config.key_file)
    with own_errors(), psycopg.connect(dsn(config)) as conn:
        rows = {}
        for table in manifest.rows:
            row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            rows[table] = int(row[0]) if row else 0
        point = audit_verify.sealed_head(conn, keyring)
    return rows, point.seq


def _record(config: Config, actor: Actor, manifest: BackupManifest, folder: Path) -> None:
    keyring = Keyring.load(config.key_file)
    witness = audit.Witness.of(config, keyring)
    with own_errors(), psycopg.connect(dsn(config)) as conn, audit.acts_sync(conn, witness):
        audit.record_sync(
            conn, actor, Action.BACKUP_RESTORE, f"backup:{folder.name}", made_at=manifest.made_at
        )


def _require_empty(config: Config) -> None:
    try:
        with psycopg.connect(owner_dsn(config), connect_timeout=config.store.connect_timeout_s) as conn:
            row: Any = conn.execute(
                "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
                " AND relkind IN ('r', 'p')"
            ).fetchone()
    except psycopg.OperationalError:
        raise StoreUnavailable("the database does not answer; see store.dsn and store.owner_dsn") from None
    if row[0]:
        raise Conflict(f"the database of store.dsn has {row[0]} tables; restore into an empty database")


def _move_in(config: Config, stage: Path) -> None:
    """Move everything of the complete stage into the home; safe to be run again after an interruption."""
    aside = config.home / (stage / _ASIDE).read_text()
    for item in sorted(stage.iterdir()):
        if item.name == _ASIDE:
            continue
        target = config.home / item.name
        if target.exists() and item.name in _KEPT:
            continue  # the configuration of this machine stays
        if target.exists():
            aside.mkdir(mode=0o700, exist_ok=True)
            give_to_owner(aside, config.home)
            target.rename(aside / item.name)
        item.rename(target)
    sync_folder(config.home)
    shutil.rmtree(stage)
