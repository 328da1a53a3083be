"""Migrations run once, whoever runs them and however often."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from binding_tools import bound, connection, item
from database_tools import as_platform
from qibai.core.binding import Messages
from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.core.ids import new_id
from qibai.store import bindings
from qibai.store import migrate as module
from qibai.store.backup.programs import run
from qibai.store.functions import packaged
from qibai.store.keys import Keyring, binding_aad
from qibai.store.migrate import available, migrate, pending
from qibai.store.upgrade import give_rights


@pytest.fixture
def empty(dsn: str) -> str:
    """A database without a schema."""
    return _emptied(dsn)


def _emptied(dsn: str) -> str:
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


@pytest.mark.parametrize("release", ["0007", "0061", "0070"])
def test_an_upgraded_database_equals_a_new_one(
    empty: str, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str
) -> None:
    new, old = empty, _emptied(database())
    names = [name for name in available() if name < release]
    monkeypatch.setattr(module, "available", lambda: names)
    assert migrate(old) == names
    monkeypatch.undo()
    assert migrate(old) == [name for name in available() if name >= release]
    migrate(new)
    for owner in (new, old):
        give_rights(owner, as_platform(owner))
    assert _schema(old, tmp_path) == _schema(new, tmp_path) != []


def _schema(dsn: str, folder: Path) -> list[str]:
    run("pg_dump", dsn, ["--schema-only", "--schema=public", f"--file={folder / 'dump'}"])
    return [line for line in (folder / "dump").read_text().splitlines() if not line.startswith("\\")]


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


_FORMS = """
SELECT p.oid::regprocedure::text, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), md5(prosrc)
FROM pg_proc p WHERE pronamespace = 'public'::regnamespace ORDER BY 1"""


def test_changed_functions_are_run_again(dsn: str) -> None:
    """Also those whose parameters or result have changed; what is not ours stays as it is."""
    with psycopg.connect(dsn, autocommit=True) as conn, psycopg.connect(dsn, autocommit=True) as other:
        forms = conn.execute(_FORMS).fetchall()
        conn.execute("UPDATE schema_functions SET revision = 0, names = names || '{left_long_ago}'")
        conn.execute("CREATE FUNCTION left_long_ago() RETURNS integer LANGUAGE sql RETURN 1")
        conn.execute("CREATE FUNCTION quota_minute(at text) RETURNS text LANGUAGE sql RETURN at")
        conn.execute("DROP FUNCTION release_gate, standing_now, call_gave_up")
        conn.execute("CREATE FUNCTION release_gate(tenant integer) RETURNS text LANGUAGE sql RETURN 'old'")
        conn.execute("CREATE FUNCTION standing_now() RETURNS bigint LANGUAGE sql RETURN -1")
        conn.execute("CREATE FUNCTION call_gave_up(a text, b text) RETURNS text LANGUAGE sql RETURN a")
        conn.execute("REVOKE EXECUTE ON FUNCTION standing_now FROM public")
        conn.execute("CREATE FUNCTION theirs() RETURNS integer LANGUAGE sql RETURN 1")
        kept = "SELECT proacl::text FROM pg_proc WHERE proname = 'standing_now'"
        rights = conn.execute(kept).fetchone()
        call = "SELECT release_gate(1)::text, standing_now()"
        assert other.execute(call, prepare=True).fetchone() == ("old", -1)
        assert pending(dsn) == migrate(dsn) == [packaged().label]
        assert other.execute(call, prepare=True).fetchone() == ("1", 1)
        assert conn.execute("SELECT theirs()").fetchone() == (1,)
        conn.execute("DROP FUNCTION theirs")
        assert conn.execute(_FORMS).fetchall() == forms
        assert conn.execute(kept).fetchone() == rights
        assert (pending(dsn), migrate(dsn)) == ([], [])


def test_functions_of_a_later_release_stay(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("UPDATE schema_functions SET revision = revision + 1, digest = 'later'")
        conn.execute("DROP FUNCTION standing_now")
        conn.execute("CREATE FUNCTION standing_now() RETURNS bigint LANGUAGE sql RETURN -1")
        assert (pending(dsn), migrate(dsn)) == ([], [])
        assert conn.execute("SELECT standing_now()").fetchone() == (-1,)
