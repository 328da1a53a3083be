"""Migrations run once, whoever runs them and however often."""

import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from binding_tools import bound, connection, item
from qibai.core.binding import Messages
from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.core.ids import new_id
from qibai.store import bindings
from qibai.store import migrate as module
from qibai.store.keys import Keyring, binding_aad
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


async def test_a_database_of_the_first_release_is_brought_up_to_date(
    empty: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was bound then is there afterwards, as it was, and it goes on."""
    first = [name for name in available() if name < "0007"]
    monkeypatch.setattr(module, "available", lambda: first)
    migrate(empty)
    monkeypatch.undo()
    code, id = 12345678, new_id()
    aad = binding_aad(code, id)
    with psycopg.connect(empty, autocommit=True) as plain:
        plain.execute("INSERT INTO tenant (name) VALUES ('old')")
        plain.execute("INSERT INTO code (code, tenant_id) VALUES (%s, 1)", [code])
        plain.execute(
            """INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, x, a, b, max_call_s,
                                    created_at, expires_at)
               VALUES (%s, %s, 1, 'AXB', 'other', 'order-1', 7, %s, %s, 60,
                       now(), now() + interval '1 day')""",
            [code, id, keyring.seal("+8613800138000", aad), keyring.seal("+8613900139000", aad)],
        )
    assert migrate(empty) == [name for name in available() if name >= "0007"]
    async with connection(empty) as conn:
        old = await bindings.get(conn, keyring, 1, code, id)
        assert (old.parties.b.e164, old.messages) == ("+8613900139000", Messages.BOTH)
        new = await bound(conn, keyring, item(1, 2))
        assert (await bindings.get(conn, keyring, new.tenant_id, new.code, new.id)).parties == new.parties


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
