"""The recorder dies, PostgreSQL goes away, lines are torn: still exactly one whole record for each call."""

import random
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from qibai.config import Config
from qibai.core.events import CallEvent
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.keys import Keyring
from qibai.store.spool import SUFFIX, SpoolWriter, line_of
from qibai.store.upgrade import upgrade
from recorder_tools import RecorderProcess, answered_call, wait_for

WHOLE = """tenant_id = 1 AND binding_id = 77 AND called = 42 AND shown = 43 AND caller = 'sealed-a'
    AND callee = 'sealed-b' AND ringing_at = started_at + interval '1 s' AND max_call_s = 3600
    AND answered_at = started_at + interval '2 s' AND ended_at = started_at + interval '12.5 s'
    AND ended_by = 'callee' AND reason = 'answered' AND q850 = 16 AND end_seen AND legs IS NULL
    AND media_id = 'm'"""


def _counts(dsn: str) -> tuple[int, int]:
    """(rows, whole rows)"""
    with psycopg.connect(dsn, autocommit=True) as conn:
        found: Any = conn.execute(f"SELECT count(*), count(*) FILTER (WHERE {WHOLE}) FROM call").fetchone()  # noqa: S608
    return found[0], found[1]


def _rollbacks(conn: psycopg.Connection) -> int:
    """How many transactions of this database were taken back."""
    found: Any = conn.execute(
        "SELECT pg_stat_get_db_xact_rollback(oid) FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    return int(found[0])


def _home(tmp_path: Path) -> Path:
    Keyring.load_or_create(tmp_path / "keys.json")
    return tmp_path


def _shuffled(count: int) -> list[CallEvent]:
    """Events of many calls, out of order within a window, one in ten twice."""
    rng = random.Random(1)
    now = time.time() - 20  # long enough ago for each to be over, and not so long as to be lost
    events = [event for _ in range(count) for event in answered_call(start=now)]
    events += rng.sample(events, len(events) // 10)
    rng.shuffle(events)
    return events


def test_a_killed_recorder_loses_nothing_and_doubles_nothing(tmp_path: Path, dsn: str) -> None:
    home = _home(tmp_path)
    events = _shuffled(2_000)
    writers = [SpoolWriter(home / "spool", name) for name in ("voice", "voice2")]
    third = len(events) // 3
    with RecorderProcess(home, QIBAI_STORE_DSN=dsn) as recorder:
        for number, event in enumerate(events):
            assert writers[number % 2].append(event)
            if number == third:
                wait_for(lambda: _counts(dsn)[0] > 0)
                recorder.kill()
            elif number == 2 * third:
                recorder.start()
        wait_for(lambda: _counts(dsn) == (2_000, 2_000))
        assert recorder.stop() == 0
    assert _counts(dsn) == (2_000, 2_000)


def test_torn_and_damaged_lines_cost_only_themselves(tmp_path: Path, dsn: str) -> None:
    home = _home(tmp_path)
    spool = home / "spool"
    spool.mkdir()
    first, second, third = (answered_call(start=time.time() - 20) for _ in range(3))
    lines = [line_of(event) for event in first + second + third]
    lines[5] = lines[5].replace(b"ringing", b"ranging")  # a ringing is lost: its checksum is wrong
    (spool / f"voice-999999999-{1:020d}{SUFFIX}").write_bytes(b"".join(lines[:8]) + lines[8][:40])
    (spool / f"voice-999999998-{2:020d}{SUFFIX}").write_bytes(b"".join(lines[8:]))
    env = {"QIBAI_STORE_DSN": dsn, "QIBAI_RECORDER_KEEP_SPOOL_S": "0"}
    with RecorderProcess(home, **env) as recorder:
        wait_for(lambda: _counts(dsn) == (3, 2))
        wait_for(lambda: not list(spool.glob(f"*{SUFFIX}")))
        wait_for(lambda: recorder.stats().get("damaged") == 2)
        assert recorder.stop() == 0


def test_a_call_that_does_not_fit_its_columns_does_not_stop_the_others(tmp_path: Path, dsn: str) -> None:
    home = _home(tmp_path)
    writer = SpoolWriter(home / "spool", "voice")
    start = time.time() - 20
    strange = msgspec.structs.replace(answered_call(start=start)[0], called=1 << 40)
    odd = msgspec.structs.replace(answered_call(start=start)[3], reason="a\0b")
    for event in (*answered_call(start=start), strange, odd, *answered_call(start=start)):
        writer.append(event)
    with RecorderProcess(home, QIBAI_STORE_DSN=dsn) as recorder:
        wait_for(lambda: _counts(dsn) == (2, 2))
        wait_for(lambda: recorder.stats().get("refused") == 2)
        assert recorder.stop() == 0


def test_while_postgresql_is_away_the_spool_holds_all(tmp_path: Path) -> None:
    home = _home(tmp_path)
    config = Config(home=home)
    server = EmbeddedPostgres(config)
    server.start()
    try:
        upgrade(config)
        writer = SpoolWriter(home / "spool", "voice")
        events = _shuffled(300)
        with RecorderProcess(home) as recorder:
            for event in events[:400]:
                writer.append(event)
            wait_for(lambda: _counts(server.dsn)[0] > 0)
            server.stop()
            for event in events[400:]:
                writer.append(event)
            wait_for(lambda: recorder.stats().get("store_up") is False)
            assert recorder.process is not None
            assert recorder.process.poll() is None
            server.start()
            wait_for(lambda: _counts(server.dsn) == (300, 300))
            assert recorder.stop() == 0
    finally:
        server.stop()


@pytest.mark.parametrize("gone", ["files", "folder", "moved"])
def test_a_spool_that_somebody_removes_costs_no_record(tmp_path: Path, dsn: str, gone: str) -> None:
    """Before the recorder has read it: PostgreSQL and the recorder are away while the files go."""
    home = _home(tmp_path)
    spool = home / "spool"
    first, second, third = (answered_call(start=time.time() - 20) for _ in range(3))
    writer = SpoolWriter(spool, "voice")
    with RecorderProcess(home, QIBAI_STORE_DSN=dsn) as recorder:
        assert all(writer.append(event) for event in first)
        wait_for(lambda: _counts(dsn)[0] == 1)
        recorder.kill()
        assert all(writer.append(event) for event in second)
        if gone == "files":
            for path in spool.iterdir():
                path.unlink()
        elif gone == "folder":
            shutil.rmtree(spool)
        else:
            spool.rename(home / "aside")
        recorder.start()
        assert all(writer.append(event) for event in third)
        wait_for(lambda: _counts(dsn) == (3, 3))
        assert recorder.stop() == 0
    assert writer.lost == 0


def test_a_spool_that_is_removed_while_the_recorder_runs_costs_no_record(tmp_path: Path, dsn: str) -> None:
    home = _home(tmp_path)
    calls = [answered_call(start=time.time() - 20) for _ in range(6)]
    writer = SpoolWriter(home / "spool", "voice")
    with RecorderProcess(home, QIBAI_STORE_DSN=dsn) as recorder:
        for number, events in enumerate(calls):
            assert all(writer.append(event) for event in events)
            if number % 2:
                shutil.rmtree(home / "spool")
        for event in answered_call(start=time.time() - 20):
            assert writer.append(event)
        wait_for(lambda: _counts(dsn) == (7, 7))
        assert recorder.stop() == 0


def test_a_server_that_only_reads_costs_no_record(tmp_path: Path, dsn: str) -> None:
    """As after a fail-over, when the recorder's host is a standby by now (SQLSTATE 25006)."""
    home = _home(tmp_path)
    writer = SpoolWriter(home / "spool", "voice")
    with psycopg.connect(dsn, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        with RecorderProcess(home, QIBAI_STORE_DSN=dsn) as recorder:
            wait_for(recorder.stats)
            for _ in range(20):
                assert all(writer.append(event) for event in answered_call(start=time.time() - 20))
            wait_for(lambda: recorder.stats().get("store_up") is False)
            tried = _rollbacks(conn)
            wait_for(lambda: _rollbacks(conn) >= tried + 2)
            assert _counts(dsn) == (0, 0)
            conn.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
            wait_for(lambda: _counts(dsn) == (20, 20))
            assert recorder.stats()["refused"] == 0
            assert recorder.stop() == 0
