"""The audit trail in PostgreSQL: one chain for all writers, nothing but additions, tampering noticed."""

import asyncio
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_tools import ALICE, act, fill, witness
from database_tools import as_platform
from qibai.core.errors import AuditBroken, AuditUnanchored, Forbidden, KeyUnknown
from qibai.core.roles import Action, Role
from qibai.core.trail import Point, digest
from qibai.store import audit, audit_verify
from qibai.store.audit import Actor, Witness
from qibai.store.keys import Keyring
from qibai.store.rotation import rotate_hash


def verify(dsn: str, keyring: Keyring, anchors: list[Point] | None = None) -> int:
    """How many entries a sound trail has."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        return audit_verify.verify(conn, keyring, anchors or []).seq


def tamper(dsn: str, *statements: str) -> None:
    """As a database administrator could: with the triggers off."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        for statement in statements:
            conn.execute(statement)  # type: ignore[arg-type]


def test_an_act_and_its_entry_are_there_together_or_not_at_all(dsn: str, keyring: Keyring) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        with suppress(ZeroDivisionError), audit.acts_sync(conn, witness(keyring)):
            conn.execute("INSERT INTO tenant (name) VALUES ('one')")
            audit.record_sync(conn, ALICE, Action.TENANT_ADD, "tenant:one")
            raise ZeroDivisionError
        assert verify(dsn, keyring) == 0
        with audit.acts_sync(conn, witness(keyring)):
            conn.execute("INSERT INTO tenant (name) VALUES ('one')")
            audit.record_sync(conn, ALICE, Action.TENANT_ADD, "tenant:one", key="k")
        assert verify(dsn, keyring) == 1
        (entry,) = audit_verify.entries(conn)
    assert (entry.seq, entry.actor, entry.role, entry.via) == (1, "alice", "operator", "key:aaa")
    assert (entry.action, entry.subject, entry.details) == ("tenant.add", "tenant:one", '{"key":"k"}')


def test_no_real_number_gets_into_it(dsn: str, keyring: Keyring) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        who = Actor("13800138000", Role.OPERATOR, "os:13800138000@node")
        with audit.acts_sync(conn, witness(keyring)):
            said = "tell 8613700137000 of 700123456781234, 138 1111 0001 and 013811110002"
            audit.record_sync(conn, who, Action.TRACE, "+8613900139000", said=said)
        (entry,) = audit_verify.entries(conn)
    text = f"{entry.actor} {entry.via} {entry.subject} {entry.details}"
    assert "13800138000" not in text
    assert "13900139000" not in text
    assert "13700137000" not in text
    assert "1111" not in text
    assert "700123456781234" in text


def test_who_may_not_do_it_cannot_record_it(dsn: str, keyring: Keyring) -> None:
    auditor = Actor("carol", Role.AUDITOR, "key:ccc")
    with (
        psycopg.connect(dsn, autocommit=True) as conn,
        pytest.raises(Forbidden),
        audit.acts_sync(conn, witness(keyring)),
    ):
        audit.record_sync(conn, auditor, Action.TENANT_ADD, "tenant:one")
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
                async with audit.acts(conn, witness(keyring)):
                    await audit.record(conn, ALICE, Action.CODE_ADD, f"code:{number}")

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
    with pytest.raises(AuditBroken, match="entry 1 was changed or forged: it has no seal of this key file"):
        verify(dsn, stranger)


def test_the_owner_cannot_change_it_by_mistake(dsn: str, keyring: Keyring) -> None:
    fill(dsn, keyring, 2)
    for statement in (
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 1",
        "UPDATE audit_head SET sealed_from = 2, seal = 'x'",
    ):
        with psycopg.connect(dsn) as conn, pytest.raises(psycopg.Error) as caught:
            conn.execute(statement)  # type: ignore[arg-type]
        assert caught.value.sqlstate == "QB005"
    assert verify(dsn, keyring) == 2


FORGE = """
    INSERT INTO audit (seq, at, actor, role, via, action, subject, details, prev, hash)
    SELECT h.seq + {n}, now(), 'mallory', 'operator', 'key:mmm', 'key.add', 'key:m', '{{}}', h.hash,
           decode(repeat('a{n}', 32), 'hex')
    FROM audit_head h"""
MOVE = "UPDATE audit_head SET seq = seq + 1, hash = decode(repeat('a1', 32), 'hex'), seal = '\\x00'"


@pytest.mark.parametrize("statements", [[FORGE.format(n=1)], [FORGE.format(n=n) for n in (1, 2, 3)], [MOVE]])
@pytest.mark.parametrize("with_head", [False, True])
def test_a_forged_entry_blocks_nothing_and_is_named(
    dsn: str, keyring: Keyring, statements: list[str], with_head: bool
) -> None:
    fill(dsn, keyring, 3)
    with psycopg.connect(as_platform(dsn), autocommit=True) as conn:
        for statement in [*statements, *([MOVE] if with_head and MOVE not in statements else [])]:
            conn.execute(statement)  # type: ignore[arg-type]
    with pytest.raises(AuditBroken):
        verify(dsn, keyring)
    made = fill(dsn, keyring, 2, first=4)  # acts go on, and the chain is theirs
    assert [point.seq for point in made] == [4, 5]
    if statements == [MOVE]:
        assert verify(dsn, keyring) == 5  # nothing of it is left
        return
    with pytest.raises(AuditBroken, match="entry 4 is forged") as caught:
        verify(dsn, keyring)
    assert caught.value.seq == 4


def test_a_forged_chain_with_right_digests_is_no_part_of_the_trail(dsn: str, keyring: Keyring) -> None:
    (point,) = fill(dsn, keyring, 1)
    content = ("mallory", "operator", "key:mmm", "key.add", "key:m", "{}")
    forged = digest(point.hash, 2, 1_700_000_000_000_000, *content)
    with psycopg.connect(as_platform(dsn), autocommit=True) as conn:
        conn.execute(
            """INSERT INTO audit (seq, at, actor, role, via, action, subject, details, prev, hash)
               VALUES (2, to_timestamp(1700000000), %s, %s, %s, %s, %s, %s, %s, %s)""",
            (*content, point.hash, forged),
        )
    with pytest.raises(AuditBroken, match="entry 2 is forged"):
        verify(dsn, keyring)
    with psycopg.connect(as_platform(dsn), autocommit=True) as conn:
        conn.execute("UPDATE audit_head SET seq = 2, hash = %s, seal = '\\x00'", [forged])
    fill(dsn, keyring, 2, first=2)
    with pytest.raises(AuditBroken, match="entry 2 is forged"):
        verify(dsn, keyring)


def whole(dsn: str, by: Witness) -> int:
    """As ``qibai audit verify`` does at a node."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        return audit_verify.verify(conn, by.keyring, witness=by).seq


def test_each_act_is_anchored_and_every_anchor_has_to_be_there(
    dsn: str, keyring: Keyring, tmp_path: Path
) -> None:
    east = witness(keyring, "east", tmp_path / "east.anchors")
    west = witness(keyring, "west", tmp_path / "west.anchors")
    for number in range(6):
        act(dsn, keyring, f"tenant:{number}", east if number % 2 else west)
        assert whole(dsn, east) == whole(dsn, west) == number + 1  # at once
    text = east.path.read_text()
    lines = text.splitlines(keepends=True)
    assert [line[0] for line in lines] == ["?", "2", "?", "4", "?", "6"]
    for content, says in (
        (None, "entry 2 has no anchor here: .*is missing or empty"),
        ("", "entry 2 has no anchor here: .*is missing or empty"),
        ("".join(lines[:-2]), "entry 6 has no anchor here: .*was shortened"),
        ("".join(lines[2:]), "entry 2 has no anchor here: .*was shortened"),
        ("".join(lines[:2] + lines[4:]), "entry 4 has no anchor here"),
        (text.replace(lines[1], f"7:{'ab' * 32}\n"), "the trail ends at 6, it had 7"),
        ("nonsense\n", "is damaged"),
    ):
        if content is None:
            east.path.unlink()
        else:
            east.path.write_text(content)
        with pytest.raises(AuditBroken, match=says):
            whole(dsn, east)
        assert whole(dsn, west) == 6
    east.path.write_text("")
    act(dsn, keyring, "tenant:more", east)  # a file that begins again does not hide what it lost
    with pytest.raises(AuditBroken, match="entry 2 has no anchor here"):
        whole(dsn, east)
    east.path.write_text(text + east.path.read_text())
    assert whole(dsn, east) == 7


def test_an_act_that_was_taken_back_whole_is_missed_at_once(dsn: str, keyring: Keyring) -> None:
    fill(dsn, keyring, 2)
    tamper(dsn, "CREATE TABLE old AS SELECT * FROM audit_head")
    fill(dsn, keyring, 1, first=3)
    tamper(dsn, "DELETE FROM audit WHERE seq = 3", "DELETE FROM audit_head")
    tamper(dsn, "INSERT INTO audit_head SELECT * FROM old")
    assert verify(dsn, keyring) == 2
    with pytest.raises(AuditBroken, match="ends at 2, it had 3"):
        whole(dsn, witness(keyring))
    fill(dsn, keyring, 1, first=4)  # in the place of the one that is gone
    with pytest.raises(AuditBroken, match="was rewritten, entry 3"):
        whole(dsn, witness(keyring))


def test_a_restore_explains_the_anchors_of_the_trail_that_it_replaced(
    dsn: str, keyring: Keyring, tmp_path: Path
) -> None:
    """On every node, whatever it did since the backup; what only looks like a restore explains nothing."""
    east = witness(keyring, "east", tmp_path / "east.anchors")
    west = witness(keyring, "west", tmp_path / "west.anchors")
    act(dsn, keyring, "tenant:1", east)
    act(dsn, keyring, "tenant:2", west)
    tamper(dsn, "CREATE TABLE rows AS SELECT * FROM audit", "CREATE TABLE head AS SELECT * FROM audit_head")
    saved = east.path.read_text()
    for number in range(3, 7):
        act(dsn, keyring, f"tenant:{number}", east if number % 2 else west)
    tamper(dsn, "DELETE FROM audit", "INSERT INTO audit SELECT * FROM rows")
    tamper(dsn, "DELETE FROM audit_head", "INSERT INTO audit_head SELECT * FROM head")
    east.path.write_text(saved)
    with pytest.raises(AuditBroken, match="ends at 2, it had 4"):
        whole(dsn, west)
    act(dsn, keyring, "backup:b", east)
    tamper(dsn, "UPDATE audit SET action = 'backup.restore' WHERE seq = 3")
    with pytest.raises(AuditBroken, match=r"entry [34]"):
        whole(dsn, west)
    assert "!" not in west.path.read_text()
    tamper(dsn, "UPDATE audit SET action = 'tenant.add' WHERE seq = 3")
    with psycopg.connect(dsn, autocommit=True) as conn, audit.acts_sync(conn, east):
        audit.record_sync(conn, ALICE, Action.BACKUP_RESTORE, "backup:b")
    assert whole(dsn, west) == whole(dsn, east) == 4
    act(dsn, keyring, "tenant:new", west)
    assert whole(dsn, west) == whole(dsn, east) == 5
    assert west.path.read_text().count("!") == 1 and "!" not in east.path.read_text()
    tamper(dsn, "DELETE FROM audit", "INSERT INTO audit SELECT * FROM rows")
    tamper(dsn, "DELETE FROM audit_head", "INSERT INTO audit_head SELECT * FROM head")
    for by in (east, west):  # the same again, but nobody restored
        with pytest.raises(AuditBroken, match="the trail ends at 2, it had"):
            whole(dsn, by)


def test_an_emptied_trail_is_no_new_one(dsn: str, keyring: Keyring) -> None:
    tamper(dsn, "CREATE TABLE new AS SELECT * FROM audit_head")
    fill(dsn, keyring, 4)
    tamper(dsn, "DELETE FROM audit", "DELETE FROM audit_head", "INSERT INTO audit_head SELECT * FROM new")
    with pytest.raises(AuditBroken, match="entry 1 is missing: the trail ends at 0, it had 1"):
        whole(dsn, witness(keyring))


def test_what_never_committed_is_no_loss(dsn: str, keyring: Keyring) -> None:
    by = witness(keyring)
    fill(dsn, keyring, 1)
    with psycopg.connect(dsn, autocommit=True) as conn, suppress(ZeroDivisionError):
        with audit.acts_sync(conn, by), suppress(ZeroDivisionError), conn.transaction():
            audit.record_sync(conn, ALICE, Action.TENANT_ADD, "tenant:savepoint")
            raise ZeroDivisionError
        with audit.acts_sync(conn, by):
            audit.record_sync(conn, ALICE, Action.TENANT_ADD, "tenant:gone")
            raise ZeroDivisionError
    by.intend([Point(2, b"\xab" * 32)])  # a machine that died before the commit
    assert whole(dsn, by) == 1
    fill(dsn, keyring, 1)
    assert whole(dsn, by) == 2


def test_an_act_that_cannot_be_anchored_is_not_done(dsn: str, keyring: Keyring, tmp_path: Path) -> None:
    by = witness(keyring, path=tmp_path / "nowhere" / "audit.anchors")
    with psycopg.connect(dsn, autocommit=True) as conn:
        with pytest.raises(AuditUnanchored), audit.acts_sync(conn, by):
            conn.execute("INSERT INTO tenant (name) VALUES ('one')")
            audit.record_sync(conn, ALICE, Action.TENANT_ADD, "tenant:one")
        assert conn.execute("SELECT count(*) FROM tenant").fetchone() == (0,)
        with pytest.raises(RuntimeError, match=r"within audit\.acts"):
            audit.record_sync(conn, ALICE, Action.TENANT_ADD, "tenant:one")
    assert verify(dsn, keyring) == 0


def test_entries_that_are_older_than_seals_stay_good(dsn: str, keyring: Keyring) -> None:
    fill(dsn, keyring, 3)
    point = Point(3, by_hash(dsn, 3))
    old_seal = keyring.mac(keyring.hash_id, b"qibai audit head\0" + str(point).encode())
    tamper(dsn, "UPDATE audit SET seal = '', key_id = 0, node = ''")
    tamper(dsn, f"UPDATE audit_head SET sealed_from = 3, seal = '\\x{old_seal.hex()}'")  # noqa: S608
    assert verify(dsn, keyring) == 3
    fill(dsn, keyring, 2, first=4)
    assert whole(dsn, witness(keyring)) == 5
    with psycopg.connect(as_platform(dsn), autocommit=True) as conn, pytest.raises(psycopg.Error) as caught:
        conn.execute(FORGE.format(n=-3).replace("a-3", "a3"))
    assert caught.value.sqlstate == "QB005"


def by_hash(dsn: str, seq: int) -> bytes:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT hash FROM audit WHERE seq = %s", [seq]).fetchone()
    assert row is not None
    return bytes(row[0])


def test_a_node_that_has_not_got_the_newest_keys_adds_nothing_and_calls_nothing_forged(
    dsn: str, keyring: Keyring, tmp_path: Path
) -> None:
    """Keys were rotated on another node: its entries are no forgeries, and ours would stand beside them."""
    fill(dsn, keyring, 2)
    path = tmp_path / "old.json"
    shutil.copy(keyring.path, path)
    old = Keyring.load(path)
    rotate_hash(dsn, keyring)
    fill(dsn, keyring, 1, first=10)
    with pytest.raises(KeyUnknown):
        fill(dsn, old, 1, first=20)
    with pytest.raises(KeyUnknown):
        verify(dsn, old)
    shutil.copy(keyring.path, path)
    fill(dsn, old, 1, first=20)
    assert verify(dsn, old) == verify(dsn, keyring) == 4


def test_a_head_that_names_a_key_of_nobodys_keeps_no_act_from_being_done(dsn: str, keyring: Keyring) -> None:
    fill(dsn, keyring, 2)
    tamper(dsn, "UPDATE audit_head SET key_id = 999")
    fill(dsn, keyring, 1, first=10)
    assert verify(dsn, keyring) == 3
