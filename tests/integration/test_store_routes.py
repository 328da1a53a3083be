"""The routing reader: what it finds, and how it behaves when the database goes away."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from store_rows import A, B, C, X, add_route

from qibai.config import Config
from qibai.core.errors import SealBroken, StoreUnavailable
from qibai.core.ids import new_id
from qibai.core.numbering import Code
from qibai.store import routes
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.keys import Keyring
from qibai.store.routes import FROM_GROUP, TO_GROUP, RouteReader
from qibai.store.upgrade import upgrade
from qibai.testing.platform import wait_for


@pytest.fixture
def reader(dsn: str, keyring: Keyring) -> Iterator[RouteReader]:
    made = RouteReader(dsn, keyring)
    yield made
    made.close()


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as made:
        yield made


def test_a_bound_pair_is_found_whole(reader: RouteReader, conn: psycopg.Connection, keyring: Keyring) -> None:
    shown = X.code.number(9_999)
    before = time.time()
    id = add_route(conn, keyring, shown=shown, flags=TO_GROUP)
    record = reader.find(X, A)
    assert record is not None
    assert (record.called, record.binding_id, record.tenant_id, record.shown) == (X, id, 1, shown)
    assert (record.max_call_s, record.to_group, record.from_group) == (3600, True, False)
    assert before + 3600 <= record.ends_at <= time.time() + 3600
    assert reader.open_callee(record) == B


def test_pairs_are_found_in_every_partition(
    reader: RouteReader, conn: psycopg.Connection, keyring: Keyring
) -> None:
    numbers = [Code(70_000_000 + i).number(i) for i in range(60)]
    ids = [add_route(conn, keyring, dialled=number) for number in numbers]
    found = [reader.find(number, A) for number in numbers]
    assert [record and record.binding_id for record in found] == ids


def test_other_callers_and_numbers_find_nothing(
    reader: RouteReader, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring)
    assert reader.find(X, C) is None
    assert reader.find(X.code.number(43), A) is None
    assert reader.find(Code(0).number(0), A) is None


def test_a_number_is_in_use_while_anybody_is_live_on_it(
    reader: RouteReader, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring, ends_in=timedelta(minutes=1))
    now = time.time()
    assert reader.number_in_use(X, now)
    assert not reader.number_in_use(X, now + 61)
    assert not reader.number_in_use(X.code.number(1), now)


def test_a_released_pair_is_found_until_it_is_tidied_away(
    reader: RouteReader, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring, ends_in=timedelta(minutes=-1))
    record = reader.find(X, A)
    assert record is not None
    assert record.ends_at < time.time()


def test_a_group_call_reaches_the_member_who_called_last(
    reader: RouteReader, conn: psycopg.Connection, keyring: Keyring
) -> None:
    y, id = X.code.number(77), new_id()
    add_route(conn, keyring, dialled=X, shown=y, caller=A, callee=B, binding_id=id, flags=FROM_GROUP)
    add_route(conn, keyring, dialled=X, shown=y, caller=C, callee=B, binding_id=id, flags=FROM_GROUP)
    add_route(conn, keyring, dialled=y, shown=X, caller=B, callee=A, binding_id=id, flags=TO_GROUP)
    for member in (C, A, A, C):
        from_member = reader.find(X, member)
        assert from_member is not None
        reader.touch_group(from_member)
        back = reader.find(y, B)
        assert back is not None
        assert reader.open_callee(back) == member


def test_a_call_to_the_group_changes_nothing(
    reader: RouteReader, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring, caller=B, callee=A, flags=TO_GROUP)
    record = reader.find(X, B)
    assert record is not None
    reader.touch_group(record)
    assert reader.find(X, B) == record


def test_a_foreign_key_file_opens_nothing(
    dsn: str, conn: psycopg.Connection, keyring: Keyring, reader: RouteReader, tmp_path: Path
) -> None:
    add_route(conn, keyring)
    record = reader.find(X, A)
    stranger = RouteReader(dsn, Keyring.load_or_create(tmp_path / "other" / "keys.json"))
    assert stranger.find(X, A) is None
    assert record is not None
    with pytest.raises(SealBroken):
        stranger.open_callee(record)
    stranger.close()


def test_a_cut_connection_is_made_anew_within_the_same_look_up(
    reader: RouteReader, conn: psycopg.Connection, keyring: Keyring
) -> None:
    id = add_route(conn, keyring)
    for _ in range(3):
        record = reader.find(X, A)
        assert record is not None
        assert record.binding_id == id
        conn.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'qibai-routes' AND datname = current_database()"
        )


def test_no_schema_is_unavailable(reader: RouteReader, conn: psycopg.Connection) -> None:
    conn.execute("DROP SCHEMA public CASCADE")
    with pytest.raises(StoreUnavailable):
        reader.find(X, A)


@pytest.mark.skipif("FAKETIME" in os.environ, reason="PostgreSQL's own timers do not run under libfaketime")
def test_a_locked_table_is_unavailable_after_the_statement_timeout(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring)
    reader = RouteReader(dsn, keyring, statement_timeout_ms=50)
    assert reader.find(X, A) is not None
    with conn.transaction():
        conn.execute("LOCK TABLE route IN ACCESS EXCLUSIVE MODE")
        wait_for(lambda: "57014" in _refusal(reader), "the server's own refusal")  # a busy server is late
    assert _find_soon(reader) is not None
    reader.close()


def test_a_standby_serves_reads_and_the_primary_takes_writes(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    id = new_id()
    add_route(conn, keyring, caller=C, callee=B, binding_id=id, flags=FROM_GROUP)
    add_route(conn, keyring, caller=B, callee=A, binding_id=id, flags=TO_GROUP)
    read_only = make_conninfo(dsn, options="-c default_transaction_read_only=on")
    reader = RouteReader(read_only, keyring, write_dsn=dsn)
    record = reader.find(X, C)
    assert record is not None
    reader.touch_group(record)
    back = reader.find(X, B)
    assert back is not None
    assert reader.open_callee(back) == C
    reader.close()


def _refusal(reader: RouteReader) -> str:
    with pytest.raises(StoreUnavailable) as said:
        reader.find(X, A)
    return str(said.value)


def _find_soon(reader: RouteReader, deadline_s: float = 10.0) -> routes.RouteRecord | None:
    """Look up until the store answers: after an outage one attempt a second is made."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            return reader.find(X, A)
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_a_stopped_and_a_frozen_server_are_unavailable_and_come_back(
    tmp_path: Path, keyring: Keyring
) -> None:
    server = EmbeddedPostgres(Config(home=tmp_path))
    server.start()
    try:
        upgrade(Config(home=tmp_path))
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            id = add_route(conn, keyring)
        reader = RouteReader(server.dsn, keyring)
        assert reader.find(X, A) is not None

        server.stop()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                reader.find(X, A)
        server.start()
        record = _find_soon(reader)
        assert record is not None
        assert record.binding_id == id

        frozen = _server_processes(server)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    reader.find(X, A)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        assert _find_soon(reader) == record
        reader.close()
    finally:
        server.stop()


def _server_processes(server: EmbeddedPostgres) -> list[int]:
    parent = server.running_pid()
    assert parent is not None
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]
