"""The audit trail in PostgreSQL: one chain for all writers, nothing but additions, tampering noticed."""

import asyncio
import threading
from contextlib import suppress

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_tools import ALICE, fill
from qibai.core.errors import AuditBroken, Forbidden
from qibai.core.roles import Action, Role
from qibai.core.trail import Point
from qibai.store import audit
from qibai.store.audit import Actor
from qibai.store.keys import Keyring


def verify(dsn: str, keyring: Keyring, anchors: list[Point] | None = None) -> int:
    """How many entries a sound trail has."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        return audit.verify(conn, keyring, anchors or []).seq


def tamper(dsn: str, *statements: str) -> None:
    """As a database administrator could: with the triggers off."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        for statement in statements:
            conn.execute(statement)  # type: ignore[arg-type]


def test_an_act_and_its_entry_are_there_together_or_not_at_all(dsn: str, keyring: Keyring) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        with suppress(ZeroDivisionError), conn.transaction():
            conn.execute("INSERT INTO tenant (name) VALUES ('one')")
            audit.record_sync(conn, keyring, ALICE, Action.TENANT_ADD, "tenant:one")
            raise ZeroDivisionError
        assert verify(dsn, keyring) == 0
        with conn.transaction():
            conn.execute("INSERT INTO tenant (name) VALUES ('one')")
            audit.record_sync(conn, keyring, ALICE, Action.TENANT_ADD, "tenant:one", key="k")
        assert verify(dsn, keyring) == 1
        (entry,) = audit.entries(conn)
    assert (entry.seq, entry.actor, entry.role, entry.via) == (1, "alice", "operator", "key:aaa")
    assert (entry.action, entry.subject, entry.details) == ("tenant.add", "tenant:one", '{"key":"k"}')


def test_no_real_number_gets_into_it(dsn: str, keyring: Keyring) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        who = Actor("13800138000", Role.OPERATOR, "os:13800138000@node")
        audit.record_sync(
            conn, keyring, who, Action.TRACE, "+8613900139000", said="tell 8613700137000 of 700123456781234"
        )
        (entry,) = audit.entries(conn)
    text = f"{entry.actor} {entry.via} {entry.subject} {entry.details}"
    assert "13800138000" not in text
    assert "13900139000" not in text
    assert "13700137000" not in text
    assert "700123456781234" in text


def test_who_may_not_do_it_cannot_record_it(dsn: str, keyring: Keyring) -> None:
    auditor = Actor("carol", Role.AUDITOR, "key:ccc")
    with psycopg.connect(dsn, autocommit=True) as conn, pytest.raises(Forbidden):
        audit.record_sync(conn, keyring, auditor, Action.TENANT_ADD, "tenant:one")
    assert verify(dsn, keyring) == 0


async def test_concurrent_writers_make_one_chain(dsn: str, keyring: Keyring) -> None:
    threads = [
        threading.Thread(target=fill, args=(dsn, keyring, 15), kwargs={"first": n * 100}) for n in range(4)
    ]
    for thread in threads:
        thread.start()

    async def writer(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            for _ in range(10):
                await audit.record(conn, keyring, ALICE, Action.CODE_ADD, f"code:{number}")

    await asyncio.gather(*(writer(number) for number in range(4)))
    for thread in threads:
        thread.join()
    assert verify(dsn, keyring) == 4 * 15 + 4 * 10


@settings(max_examples=25)
@given(
    place=st.integers(1, 6),
    how=st.sampled_from(["actor", "at", "details", "hash", "prev", "gone", "swapped"]),
)
def test_whatever_is_done_to_a_row_names_it(filled: tuple[str, Keyring], place: int, how: str) -> None:
    dsn, keyring = filled
    values = {
        "actor": "actor = 'mallory'",
        "at": "at = at + interval '1 microsecond'",
        "details": "details = details || ' '",
        "hash": "hash = decode(repeat('aa', 32), 'hex')",
        "prev": "prev = decode(repeat('aa', 32), 'hex')",
    }
    tamper(dsn, "DROP TABLE IF EXISTS saved", "CREATE TABLE saved AS SELECT * FROM audit")
    if how == "gone":
        tamper(dsn, f"DELETE FROM audit WHERE seq = {place}")  # noqa: S608
    elif how == "swapped":
        other = place % 6 + 1
        tamper(
            dsn,
            f"UPDATE audit SET seq = -1 WHERE seq = {place}",  # noqa: S608
            f"UPDATE audit SET seq = {place} WHERE seq = {other}",  # noqa: S608
            f"UPDATE audit SET seq = {other} WHERE seq = -1",  # noqa: S608
        )
        place = min(place, other)
    else:
        tamper(dsn, f"UPDATE audit SET {values[how]} WHERE seq = {place}")  # noqa: S608
    try:
        with pytest.raises(AuditBroken) as caught:
            verify(dsn, keyring)
        assert caught.value.seq == place
    finally:
        tamper(dsn, "DELETE FROM audit", "INSERT INTO audit SELECT * FROM saved")
    assert verify(dsn, keyring) == 6


@pytest.fixture
def filled(dsn: str, keyring: Keyring) -> tuple[str, Keyring]:
    fill(dsn, keyring, 6)
    return dsn, keyring


def test_a_tail_that_was_cut_off_is_noticed_though_the_head_was_made_to_fit(
    dsn: str, keyring: Keyring, tmp_path_factory: pytest.TempPathFactory
) -> None:
    known = fill(dsn, keyring, 3)
    tamper(dsn, "CREATE TABLE old AS SELECT * FROM audit_head")
    known += fill(dsn, keyring, 3, first=4)
    tamper(dsn, "DELETE FROM audit WHERE seq > 3")
    with pytest.raises(AuditBroken, match="ends at 3, it had 6") as caught:
        verify(dsn, keyring)
    assert caught.value.seq == 4
    tamper(dsn, "UPDATE audit_head h SET seq = 3, hash = o.hash FROM old o")
    with pytest.raises(AuditBroken, match="not sealed with this key file"):
        verify(dsn, keyring)
    # whoever has kept an old head, seal and all, is caught by an anchor outside the database
    tamper(dsn, "UPDATE audit_head h SET seal = o.seal, key_id = o.key_id FROM old o")
    assert verify(dsn, keyring) == 3
    with pytest.raises(AuditBroken, match="ends at 3, it had 5"):
        verify(dsn, keyring, known[4:5])
    stranger = Keyring.load_or_create(tmp_path_factory.mktemp("other") / "keys.json")
    with pytest.raises(AuditBroken, match="not sealed with this key file"):
        verify(dsn, stranger)


def test_the_owner_cannot_change_it_by_mistake(dsn: str, keyring: Keyring) -> None:
    fill(dsn, keyring, 2)
    for statement in (
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 1",
    ):
        with psycopg.connect(dsn) as conn, pytest.raises(psycopg.Error) as caught:
            conn.execute(statement)  # type: ignore[arg-type]
        assert caught.value.sqlstate == "QB005"
    assert verify(dsn, keyring) == 2
