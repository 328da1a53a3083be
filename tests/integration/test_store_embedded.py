"""The embedded server: made, started, stopped, killed, reused."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import qibai.store
from qibai.config import Config, StoreConfig
from qibai.core.errors import ConfigError
from qibai.store.embedded import EmbeddedPostgres, socket_dir


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return Config(home=tmp_path_factory.mktemp("home"))


@pytest.fixture
def server(config: Config) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(config)
    made.start()
    yield made
    made.stop()


def test_it_listens_on_a_socket_alone_and_wants_the_password(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.owner_dsn) as conn:
        settings = dict(conn.execute("SELECT name, setting FROM pg_settings").fetchall())
    assert settings["listen_addresses"] == ""
    assert settings["data_checksums"] == "on"
    assert settings["password_encryption"] == "scram-sha-256"
    assert settings["jit"] == "off"
    for dsn in (server.dsn, server.owner_dsn):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(dsn, passfile="/dev/null")


def test_secrets_are_for_the_owner_alone(server: EmbeddedPostgres, config: Config) -> None:
    assert stat.S_IMODE(config.pg_dir.stat().st_mode) == 0o700
    passwords = set()
    for name in ("pgpass", "pgpass.platform"):
        assert stat.S_IMODE((config.home / name).stat().st_mode) == 0o600
        password = (config.home / name).read_text().strip().split(":")[-1]
        assert len(password) >= 32
        assert password not in server.dsn + server.owner_dsn
        assert all(password not in word for word in server.command())
        passwords.add(password)
    assert len(passwords) == 2


def test_a_second_start_reuses_the_server(server: EmbeddedPostgres, config: Config) -> None:
    second = EmbeddedPostgres(config)
    second.start()
    assert second.running_pid() == server.running_pid() is not None
    second.stop()
    assert server.running_pid() is not None


def test_stopping_cuts_clients_off_and_keeps_data(config: Config) -> None:
    server = EmbeddedPostgres(config)
    server.start()
    with psycopg.connect(server.owner_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 7 AS value")
        server.stop()
    assert server.running_pid() is None
    server.start()
    with psycopg.connect(server.owner_dsn) as conn:
        assert conn.execute("SELECT value FROM kept").fetchone() == (7,)
    server.stop()


def test_what_a_killed_server_leaves_behind_does_not_matter(config: Config) -> None:
    killed = EmbeddedPostgres(config)
    killed.start()
    pid = killed.running_pid()
    assert pid is not None
    with psycopg.connect(killed.owner_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE before_the_kill (x int)")
        os.kill(pid, signal.SIGKILL)
        killed.stop()
        # as if the dead server's pid were somebody else's by now: ours
        pidfile = config.pg_dir / "postmaster.pid"
        pidfile.write_text(pidfile.read_text().replace(str(pid), str(os.getppid()), 1))
        again = EmbeddedPostgres(config)
        assert again.running_pid() is None
        again.start()
    with psycopg.connect(again.owner_dsn) as conn:
        assert conn.execute("SELECT count(*) FROM before_the_kill").fetchone() == (0,)
    again.stop()


def test_it_runs_as_a_supervisors_child(config: Config) -> None:
    server = EmbeddedPostgres(config)
    server.prepare()
    child = subprocess.Popen(server.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server.wait_ready()
        assert server.running_pid() == child.pid
    finally:
        child.send_signal(server.stop_signal)
    assert child.wait(30) == 0


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    config = Config(home=home)
    assert not socket_dir(config).is_relative_to(home)
    server = EmbeddedPostgres(config)
    server.start()
    try:
        with psycopg.connect(qibai.store.dsn(config)) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()
        socket_dir(config).rmdir()


def test_data_of_another_release_are_refused(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    config.pg_dir.mkdir()
    (config.pg_dir / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigError, match="PostgreSQL 14"):
        EmbeddedPostgres(config).start()


def test_a_configured_dsn_wins(config: Config) -> None:
    ours = Config(home=config.home, store=StoreConfig(dsn="host=there", read_dsn="host=here"))
    assert qibai.store.dsn(ours) == "host=there"
    assert qibai.store.read_dsn(ours) == "host=here"
    assert qibai.store.dsn(config) == qibai.store.read_dsn(config) == EmbeddedPostgres(config).dsn


@pytest.mark.parametrize("name", ["号码保护", "é ü", "a b"])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    server = EmbeddedPostgres(Config(home=tmp_path / name))
    server.start()
    try:
        assert server.running_pid() is not None
        with psycopg.connect(server.dsn) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()
    assert server.running_pid() is None
