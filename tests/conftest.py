"""Shared fixtures: one embedded PostgreSQL a session, one fresh migrated database a test, a key file."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from qibai.config import Config
from qibai.store.embedded import OWNER, EmbeddedPostgres, embedded_dsn
from qibai.store.keys import Keyring
from qibai.store.upgrade import upgrade

_COUNT = itertools.count(1)


def pytest_configure() -> None:
    """What commands print is as wide as they want it, not as whoever runs the tests has it."""
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # A busy machine is no fault, and a database is made for each test, not for each example.
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    settings.register_profile("qibai", deadline=None, suppress_health_check=slow)
    settings.load_profile("qibai")


@pytest.fixture(scope="session")
def database() -> Iterator[Callable[[], str]]:
    """Starts PostgreSQL once; each call makes a migrated, empty database and returns its owner's DSN."""
    home = Path(tempfile.mkdtemp(prefix="qibai-test-"))
    config = Config(home=home)
    server = EmbeddedPostgres(config)
    server.start()
    admin = embedded_dsn(config, "postgres", role=OWNER)
    upgrade(config)

    def make() -> str:
        name = f"test_{os.getpid()}_{next(_COUNT)}"
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE qibai STRATEGY file_copy").format(sql.Identifier(name))
            )
        return embedded_dsn(config, name, role=OWNER)

    try:
        yield make
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture
def dsn(database: Callable[[], str]) -> Iterator[str]:
    """The owner's DSN of a migrated, empty database of this test's own."""
    made = database()
    yield made
    info = psycopg.conninfo.conninfo_to_dict(made)
    admin = psycopg.conninfo.make_conninfo(made, dbname="postgres")
    with psycopg.connect(admin, autocommit=True) as conn:
        name = sql.Identifier(str(info["dbname"]))
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    """New keys in a key file of this test's own."""
    return Keyring.load_or_create(tmp_path / "keys.json")
