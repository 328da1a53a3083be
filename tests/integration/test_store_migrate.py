"""Migrations run once, whoever runs them and however often."""

import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.store import migrate as module
from qibai.store.migrate import available, migrate, pending


@pytest.fixture
def empty(dsn: str) -> str:
    """A database without a schema."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")
    return dsn


def test_an_empty_database_becomes_current_once(empty: str) -> None:
    assert pending(empty) == available() != []
    assert migrate(empty) == available()
    assert migrate(empty) == []
    assert pending(empty) == []


def test_many_processes_at_once_apply_each_migration_once(empty: str) -> None:
    program = "import sys; from qibai.store.migrate import migrate; print(len(migrate(sys.argv[1])))"
    racers = [
        subprocess.Popen([sys.executable, "-c", program, empty], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    counts = [int(racer.communicate()[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert sum(counts) == len(available())


def test_a_database_of_a_later_release_is_refused(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("INSERT INTO schema_version (name) VALUES ('9999_later.sql')")
    with pytest.raises(SchemaError, match="later release"):
        migrate(dsn)


def test_an_old_server_is_refused(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_SERVER_VERSION", 990_000)
    with pytest.raises(SchemaError, match="too old"):
        pending(dsn)


def test_no_server_is_unavailable(database: Callable[[], str]) -> None:
    with pytest.raises(StoreUnavailable):
        migrate(make_conninfo(database(), host="/nonexistent"))


def test_every_hot_table_has_sixteen_partitions(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(
            "SELECT inhparent::regclass::text, count(*) FROM pg_inherits GROUP BY 1"
        ).fetchall()
    tables = {name: count for name, count in rows if name in ("binding", "route", "call")}
    assert tables == {"binding": 16, "route": 16, "call": 16}
