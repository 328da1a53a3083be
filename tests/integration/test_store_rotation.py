"""Rotation of keys while calls and bindings go on, and after interruptions."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from store_rows import A, B, X, add_route

from qibai.core.errors import Conflict, Forbidden, KeyFileError, SealBroken
from qibai.core.ids import new_id
from qibai.core.numbering import Code, Msisdn
from qibai.store import keyfile, made_keys
from qibai.store.keycheck import check_key_file
from qibai.store.keys import Keyring, binding_aad
from qibai.store.message_policy import policy_aad
from qibai.store.rotating import ROTATION_LOCK, partitions
from qibai.store.rotation import RotationStep, rotate_hash, rotate_token, rotate_values
from qibai.store.routes import RouteReader
from qibai.store.tenants import api_key_aad


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as made:
        yield made


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rotate_hash", "rotate_values"):
        monkeypatch.setattr(f"qibai.store.{name}.BATCH", 7)


class Stop(Exception):
    """The interruption."""


def _numbers(count: int) -> list:
    return [Code(70_000_000 + i % 23).number(i) for i in range(count)]


def _all_found(dsn: str, keyring: Keyring, numbers: list) -> bool:
    reader = RouteReader(dsn, keyring)
    records = [reader.find(number, A) for number in numbers]
    opened = {record and reader.open_callee(record) for record in records}
    reader.close()
    return opened == {B}


def _state(conn: psycopg.Connection) -> tuple:
    row = conn.execute("SELECT phase, current_id, next_id FROM hash_rotation").fetchone()
    assert row is not None
    return row


def test_whether_a_rotation_is_new_is_asked_under_its_lock(dsn: str, keyring: Keyring) -> None:
    """Another process may have ended the rotation that this one was to go on with."""
    stale = Keyring.load(keyring.path), Keyring.load(keyring.path)
    assert rotate_hash(dsn, keyring) == 2
    assert rotate_values(dsn, keyring, settle_s=0).key_id == 2

    def refuse(new: bool) -> None:
        with psycopg.connect(dsn) as other:
            got = other.execute("SELECT pg_try_advisory_lock(%s)", [ROTATION_LOCK]).fetchone()
        assert got == (False,)
        if new:
            raise Forbidden

    with pytest.raises(Forbidden):
        rotate_hash(dsn, stale[0], started=refuse)
    with pytest.raises(Forbidden):
        rotate_values(dsn, stale[1], started=refuse, settle_s=0)
    again = Keyring.load(keyring.path)
    assert (again.hash_id, again.value_id) == (2, 2)


def test_every_sealed_value_moves_to_the_new_key(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    code, id, call = X.code.value, new_id(), new_id()
    aad = binding_aad(code, id)
    add_route(conn, keyring, binding_id=id)
    conn.execute("INSERT INTO tenant (name) VALUES ('one')")
    conn.execute(
        "INSERT INTO api_key (id, tenant_id, digest, secret) VALUES ('k', 1, '', %s)",
        [keyring.seal("secret", api_key_aad("k", "tenant", 1, None, None))],
    )
    conn.execute(
        """INSERT INTO message_policy (tenant_id, numbers, hook, timeout_ms, on_timeout, secret, changed_at)
           VALUES (1, 'mask', 'forward', 100, 'block', %s, now())""",
        [keyring.seal("hook", policy_aad(1))],
    )
    conn.execute(
        """INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, x, a, b, members, max_call_s,
                                created_at, expires_at)
           VALUES (%s, %s, 1, 'GXB', 'other', 'o', 1, NULL, %s, %s, 1, now(), now())""",
        [code, id, keyring.seal("b", aad), [keyring.seal("m1", aad), keyring.seal("m2", aad)]],
    )
    conn.execute(
        """INSERT INTO call (code, id, binding_id, caller, callee, legs, node, started_at)
           VALUES (%s, %s, %s, %s, %s, %s, 'n', now()), (-1, %s, NULL, %s, NULL, NULL, 'n', now())""",
        [
            *(code, call, id, keyring.seal("x", aad), keyring.seal("y", aad)),
            *(keyring.seal("legs", binding_aad(code, call)), call),
            keyring.seal("z", binding_aad(-1, call)),
        ],
    )
    assert keyring.value_id == 1
    done = rotate_values(dsn, keyring, settle_s=0)
    assert (done.key_id, done.rows, done.broken) == (2, 6, 0)
    blobs = conn.execute(
        """SELECT callee FROM route UNION ALL SELECT caller FROM route UNION ALL SELECT secret FROM api_key
           UNION ALL SELECT b FROM binding UNION ALL SELECT unnest(members) FROM binding
           UNION ALL SELECT caller FROM call UNION ALL SELECT callee FROM call
           UNION ALL SELECT legs FROM call UNION ALL SELECT secret FROM message_policy"""
    ).fetchall()
    assert {blob[:2] for (blob,) in blobs if blob is not None} == {b"\x00\x02"}
    row = conn.execute("SELECT b, members FROM binding").fetchone()
    assert row is not None
    assert [keyring.open(blob, aad) for blob in (row[0], *row[1])] == ["b", "m1", "m2"]
    assert _all_found(dsn, keyring, [X])
    assert conn.execute("SELECT * FROM rotation_progress").fetchall() == []


def test_a_broken_value_is_counted_and_left_alone(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring)
    other = X.code.number(1)
    add_route(conn, keyring, dialled=other)
    conn.execute("UPDATE route SET callee = callee || 'x' WHERE serial = %s", [X.serial])
    done = rotate_values(dsn, keyring, settle_s=0)
    assert (done.rows, done.broken) == (1, 1)
    assert _all_found(dsn, keyring, [other])


@pytest.mark.usefixtures("small_batches")
def test_value_rotation_goes_on_where_it_stopped(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    numbers = _numbers(60)
    for number in numbers:
        add_route(conn, keyring, dialled=number)
    for stop_at in (3, 4, 5):
        steps = itertools.count()

        def progress(step: RotationStep, steps: Iterator[int] = steps, stop_at: int = stop_at) -> None:
            if step.rows and next(steps) == stop_at:
                raise Stop

        with pytest.raises(Stop):
            rotate_values(dsn, keyring, progress, settle_s=0)
        assert _all_found(dsn, Keyring.load(keyring.path), numbers)
    assert rotate_values(dsn, keyring, settle_s=0).key_id == 2
    assert conn.execute("SELECT DISTINCT substr(callee, 1, 2) FROM route").fetchall() == [(b"\x00\x02",)]
    assert _all_found(dsn, keyring, numbers)


@pytest.mark.usefixtures("small_batches")
def test_hash_rotation_goes_on_where_it_stopped(dsn: str, conn: psycopg.Connection, keyring: Keyring) -> None:
    numbers = _numbers(60)
    for number in numbers:
        add_route(conn, keyring, dialled=number)
    stale = RouteReader(dsn, Keyring.load(keyring.path))
    seen = set()
    for stop_at in itertools.count():
        steps = itertools.count()

        def progress(step: RotationStep, steps: Iterator[int] = steps) -> None:
            if step.rows and next(steps) == 5:
                raise Stop

        try:
            assert rotate_hash(dsn, Keyring.load(keyring.path), progress) == 2
            break
        except Stop:
            seen.add(_state(conn)[0])
            number = Code(60_000_000 + stop_at).number(1)
            add_route(conn, Keyring.load(keyring.path), dialled=number)
            numbers.append(number)
        assert all(stale.find(number, A) for number in numbers)
    assert seen == {1, 2, 3}
    assert _state(conn) == (0, 2, None)
    keyring.reload_if_changed()
    assert keyring.hash_ids == (2, None)
    assert _all_found(dsn, keyring, numbers)
    assert all(stale.find(number, A) for number in numbers)
    rows = conn.execute("SELECT caller_key, next_key FROM route").fetchall()
    assert set(rows) == {(keyring.blind(A), None)}
    stale.close()


def test_a_reader_of_the_old_key_finds_rows_of_the_new(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring)
    late = RouteReader(dsn, Keyring.load(keyring.path))
    for wanted in (2, 3, 4):
        assert rotate_hash(dsn, keyring) == wanted
    assert late.find(X, A) is not None
    assert late.find(X, B) is None
    late.close()


def test_a_crash_before_the_key_file_was_finished_is_mended(
    dsn: str, conn: psycopg.Connection, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_route(conn, keyring)
    with monkeypatch.context() as patched:
        patched.setattr("qibai.store.rotate_hash._Rehashing.finish_file", _stop)
        with pytest.raises(Stop):
            rotate_hash(dsn, keyring)
    assert _state(conn) == (0, 2, None)
    assert keyring.hash_ids == (1, 2)
    assert _all_found(dsn, Keyring.load(keyring.path), [X])
    assert rotate_hash(dsn, keyring) == 2
    assert keyring.hash_ids == (2, None)
    assert _all_found(dsn, keyring, [X])


def _stop(self: object) -> int:
    raise Stop


def test_a_live_row_that_cannot_be_read_stops_the_hash_rotation(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring)
    conn.execute("UPDATE route SET caller = caller || 'x'")
    with pytest.raises(SealBroken):
        rotate_hash(dsn, keyring)
    assert _state(conn)[0] == 1
    assert _all_found(dsn, keyring, [X])
    conn.execute("UPDATE route SET free_at = now()")
    assert rotate_hash(dsn, keyring) == 2
    assert conn.execute("SELECT * FROM route").fetchall() == []


def test_one_rotation_at_a_time(dsn: str, conn: psycopg.Connection, keyring: Keyring) -> None:
    conn.execute("SELECT pg_advisory_lock(%s)", [ROTATION_LOCK])
    for rotate in (rotate_values, rotate_hash):
        with pytest.raises(Conflict):
            rotate(dsn, keyring)
    assert keyring.hash_ids == (1, None)
    assert keyring.value_id == 1


def test_a_token_key_is_added_and_the_old_one_stays(dsn: str, keyring: Keyring) -> None:
    old = keyring.current_token_key
    assert rotate_token(dsn, keyring) == 2
    assert keyring.current_token_key[0] == 2
    assert keyring.token_key(old[0]) == old[1]


@pytest.mark.usefixtures("small_batches")
def test_look_ups_and_binds_go_on_during_rotations(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    numbers = _numbers(120)
    for number in numbers:
        add_route(conn, keyring, dialled=number)
    over = threading.Event()
    failures: list[BaseException] = []
    counts = {"looked up": 0, "bound": 0}

    def look_up() -> None:
        reader = RouteReader(dsn, Keyring.load(keyring.path), statement_timeout_ms=5_000)
        for number in itertools.cycle(list(numbers)):
            record = reader.find(number, A)
            assert record is not None
            assert reader.open_callee(record) == B
            counts["looked up"] += 1
            if over.is_set():
                return

    def bind() -> None:
        ring = Keyring.load(keyring.path)
        with psycopg.connect(dsn, autocommit=True) as own:
            for serial in range(10_000):
                number = Code(55_000_000).number(serial)
                add_route(own, ring, dialled=number)
                numbers.append(number)
                counts["bound"] += 1
                with pytest.raises(psycopg.errors.UniqueViolation):
                    add_route(own, ring, dialled=number)
                if over.is_set():
                    return

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=guarded, args=[work]) for work in (look_up, bind)]
    for thread in threads:
        thread.start()
    try:
        mine = Keyring.load(keyring.path)
        assert rotate_hash(dsn, mine) == 2
        assert rotate_values(dsn, mine, settle_s=1.5).key_id == 2
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert min(counts.values()) > 10
    assert conn.execute("SELECT count(*) FROM route WHERE next_key IS NOT NULL").fetchone() == (0,)
    assert conn.execute(
        """SELECT count(*) FROM route
           WHERE substr(caller, 1, 2) <> '\\x0002' OR substr(callee, 1, 2) <> '\\x0002'"""
    ).fetchone() == (0,)
    assert _all_found(dsn, mine, numbers)


def test_a_killed_rotation_is_gone_on_with(dsn: str, conn: psycopg.Connection, keyring: Keyring) -> None:
    numbers = _numbers(300)
    for number in numbers:
        add_route(conn, keyring, dialled=number)
    program = (
        "import sys; from pathlib import Path; from qibai.store import rotate_hash as r\n"
        "from qibai.store.keys import Keyring\n"
        "r.BATCH = 1\n"
        "r.rotate_hash(sys.argv[1], Keyring.load(Path(sys.argv[2])))"
    )
    child = subprocess.Popen([sys.executable, "-c", program, dsn, str(keyring.path)])
    deadline = time.monotonic() + 30
    while _state(conn)[0] != 2 and child.poll() is None:
        assert time.monotonic() < deadline
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert _state(conn)[0] in (2, 3)
    assert _all_found(dsn, keyring, numbers)
    while conn.execute(
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", [ROTATION_LOCK]
    ).fetchone():
        assert time.monotonic() < deadline
    assert rotate_hash(dsn, keyring) == 2
    assert _all_found(dsn, keyring, numbers)


def test_progress_is_told_to_the_end(dsn: str, conn: psycopg.Connection, keyring: Keyring) -> None:
    for number in _numbers(30):
        add_route(conn, keyring, dialled=number)
    steps: list[RotationStep] = []
    rotate_hash(dsn, keyring, steps.append)
    fill = [step for step in steps if step.job.endswith("fill")]
    assert sum(max(s.rows for s in fill if s.part == part) for part in partitions("route")) == 30
    assert fill[-1].parts_done == fill[-1].parts == len({step.part for step in fill})


def test_quarantined_rows_move_too(dsn: str, conn: psycopg.Connection, keyring: Keyring) -> None:
    add_route(conn, keyring, ends_in=timedelta(hours=-1))
    rotate_hash(dsn, keyring)
    assert _all_found(dsn, keyring, [X])
    assert RouteReader(dsn, keyring).find(X, Msisdn("+8613500135000")) is None


def test_a_rotation_takes_the_prepared_keys(dsn: str, keyring: Keyring, conn: psycopg.Connection) -> None:
    add_route(conn, keyring)
    keyfile.prepare(keyring.path)
    before = keyfile.read(keyring.path)[0]
    assert rotate_values(dsn, keyring, settle_s=0).key_id == 2
    assert rotate_hash(dsn, keyring) == 2
    after = keyfile.read(keyring.path)[0]
    assert (after.value.keys, after.hash.keys) == (before.value.keys, before.hash.keys)
    assert _all_found(dsn, keyring, [X])


def test_a_node_whose_key_file_is_old_rotates_nothing_and_hears_why(
    dsn: str, keyring: Keyring, conn: psycopg.Connection, tmp_path: Path
) -> None:
    """Its new key would have the number of another key."""
    add_route(conn, keyring)
    path = tmp_path / "old.json"
    shutil.copy(keyring.path, path)
    old = Keyring.load(path)

    def interrupt(_: RotationStep) -> None:
        raise Stop

    with pytest.raises(Stop):
        rotate_values(dsn, keyring, interrupt, settle_s=0)
    for rotate in (rotate_hash, rotate_values):
        with pytest.raises(KeyFileError, match="has no value key 2, which this database needs"):
            rotate(dsn, old)
    rotate_values(dsn, keyring, settle_s=0)
    with pytest.raises(KeyFileError, match="has no value key 2, which this database needs"):
        check_key_file(conn, path)
    assert path.read_bytes() != keyring.path.read_bytes()
    shutil.copy(keyring.path, path)
    check_key_file(conn, path)


def test_keys_are_prepared_on_one_machine_alone(
    dsn: str, keyring: Keyring, conn: psycopg.Connection, tmp_path: Path
) -> None:
    """Two machines would give one number to two keys, and neither could read what the other wrote."""
    path = tmp_path / "other.json"
    shutil.copy(keyring.path, path)
    assert made_keys.prepare(conn, keyring.path) == {"value": 2, "hash": 2, "token": 2}
    for make in (lambda: made_keys.prepare(conn, path), lambda: rotate_token(dsn, Keyring.load(path))):
        with pytest.raises(KeyFileError, match="has no hash key 2; copy the key file"):
            make()
    assert keyfile.prints(path).keys() == {("value", 1), ("hash", 1), ("token", 1)}
    keyfile.prepare(path)  # as if the database had not been asked
    with pytest.raises(KeyFileError, match="has another hash key 2"):
        made_keys.prepare(conn, path)
    add_route(conn, keyring)
    with pytest.raises(KeyFileError, match="has another hash key 2"):
        check_key_file(conn, path)


def test_of_keys_that_are_prepared_at_once_one_machine_makes_them(
    dsn: str, keyring: Keyring, tmp_path: Path
) -> None:
    files = [keyring.path] + [tmp_path / f"{number}.json" for number in range(5)]
    for path in files[1:]:
        shutil.copy(keyring.path, path)

    def prepare(path: Path) -> bool:
        with psycopg.connect(dsn) as conn:
            try:
                made_keys.prepare(conn, path)
            except (Conflict, KeyFileError):
                return False
        return True

    with ThreadPoolExecutor(len(files)) as pool:
        assert sum(pool.map(prepare, files)) == 1
