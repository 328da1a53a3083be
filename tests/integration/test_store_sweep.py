"""The sweep removes what is due, and that alone."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from store_rows import A, B, X, add_route

from api_tools import wait_for
from database_tools import as_platform
from qibai import logs
from qibai.cli.doctor.finding import State
from qibai.cli.doctor.routes import check_routes
from qibai.config import Config, RetentionConfig, StoreConfig
from qibai.core.numbering import Code
from qibai.core.routing import Refusal, Route, decide
from qibai.store.keys import Keyring
from qibai.store.loss_counts import LossCounts, read_losses
from qibai.store.routes import RouteReader
from qibai.store.sweep import SWEEP_LOCK, Sweeper, sweep

HALF_YEAR = RetentionConfig()


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as made:
        yield made


def _count(conn: psycopg.Connection, table: str) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return row[0]


def test_routes_stay_until_their_quarantine_is_over(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    past, day = timedelta(days=-2), timedelta(days=1)
    for i in range(40):
        number = Code(70_000_000 + i).number(1)
        add_route(conn, keyring, dialled=number, caller=A)
        add_route(conn, keyring, dialled=number, caller=B, callee=A, ends_in=past, quarantine=day)
    add_route(conn, keyring, dialled=X, ends_in=past, quarantine=3 * day)
    assert sweep(dsn, HALF_YEAR, pause_s=0).rows["route"] == 40
    assert _count(conn, "route") == 41
    assert conn.execute("SELECT count(*) FROM route WHERE free_at <= now()").fetchone() == (0,)


def test_bindings_calls_and_notes_go_after_their_time(dsn: str, conn: psycopg.Connection) -> None:
    for days, released in ((1, None), (182, None), (184, None), (-9, 182), (-9, 184)):
        conn.execute(
            """INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, x, b, max_call_s, created_at,
                                    expires_at, released_at)
               SELECT 7, %s + coalesce(%s, 0), 1, 'AXB', 'other', 'o', 1, '', 1, now(),
                      now() - make_interval(days => %s), now() - make_interval(days => %s)""",
            [days * 1000, released, days, released],
        )
    conn.execute(
        """INSERT INTO call (code, id, node, started_at, ended_at)
           VALUES (1, 1, 'n', now() - interval '184 days', now()),
                  (1, 2, 'n', now() - interval '182 days', now()),
                  (1, 3, 'n', now() - interval '184 days', NULL)"""
    )
    conn.execute(
        """INSERT INTO message (code, id, kind, node, state, created_at, valid_until, due_at)
           VALUES (1, 1, 'relay', 'n', 'delivered', now() - interval '184 days', now(), NULL),
                  (1, 2, 'relay', 'n', 'delivered', now() - interval '182 days', now(), NULL),
                  (1, 3, 'relay', 'n', 'queued', now() - interval '184 days', now(), now())"""
    )
    conn.execute(
        """INSERT INTO idempotency (tenant_id, key, request, code, binding_id, created_at)
           VALUES (1, 'a', '', 1, 1, now() - interval '25 hours'), (1, 'b', '', 1, 1, now())"""
    )
    conn.execute(
        "INSERT INTO nonce VALUES ('k', 'a', now() - interval '11 minutes'),"
        " ('k', 'b', now() - interval '9 minutes')"
    )
    conn.execute(
        "INSERT INTO call_order (code, call_id, node, asked_at) VALUES (1, 1, 'n', now() - interval '2 days')"
    )
    assert sweep(dsn, HALF_YEAR, pause_s=0).rows == {
        "route": 0,
        "binding": 2,
        "call": 1,
        "message": 1,
        "message_sent": 0,
        "existing_route": 0,
        "existing_binding": 0,
        "idempotency": 1,
        "nonce": 1,
        "call_order": 1,
    }
    assert (_count(conn, "binding"), _count(conn, "call"), _count(conn, "nonce")) == (3, 2, 1)


def test_rows_in_use_are_left_for_the_next_time(dsn: str, conn: psycopg.Connection, keyring: Keyring) -> None:
    add_route(conn, keyring, ends_in=timedelta(days=-2))
    with conn.transaction():
        conn.execute("SELECT 1 FROM route FOR UPDATE")
        assert sweep(dsn, HALF_YEAR, pause_s=0).rows["route"] == 0
    assert sweep(dsn, HALF_YEAR, pause_s=0).rows["route"] == 1


def test_one_sweep_at_a_time_and_it_stops_when_told(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(conn, keyring, ends_in=timedelta(days=-2))
    conn.execute("SELECT pg_advisory_lock(%s)", [SWEEP_LOCK])
    assert sum(sweep(dsn, HALF_YEAR, pause_s=0).rows.values()) == 0
    conn.execute("SELECT pg_advisory_unlock(%s)", [SWEEP_LOCK])
    for i in range(20):
        add_route(conn, keyring, dialled=Code(70_000_000 + i).number(1), ends_in=timedelta(days=-2))
    first = sweep(dsn, HALF_YEAR, pause_s=0, stop=lambda: True).rows["route"]
    assert 0 < first < 21
    assert sweep(dsn, HALF_YEAR, pause_s=0).rows["route"] == 21 - first


def test_the_sweeper_sweeps_again_and_again_whatever_fails(
    dsn: str, conn: psycopg.Connection, keyring: Keyring
) -> None:
    conn.execute("ALTER TABLE nonce RENAME TO elsewhere")
    sweeper = Sweeper(dsn, HALF_YEAR, interval_s=0.01)
    sweeper.start()
    try:
        for _ in range(2):
            add_route(conn, keyring, ends_in=timedelta(days=-2))
            deadline = time.monotonic() + 20
            while _count(conn, "route"):
                assert time.monotonic() < deadline
    finally:
        sweeper.stop()
    assert not sweeper.is_alive()


def test_a_pair_that_outlived_its_binding_is_ended_counted_and_said(
    dsn: str, conn: psycopg.Connection, keyring: Keyring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Released, expired, without a binding: none connects any more; a live binding's pair does."""
    kinds = {"released": ("1 hour", "now()"), "expired": ("-1 hour", "NULL"), "live": ("1 hour", "NULL")}
    ids = {}
    for serial, (kind, (ends, released_at)) in enumerate(kinds.items()):
        number = X.code.number(serial)
        ids[kind] = add_route(conn, keyring, dialled=number)
        conn.execute(
            f"""INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, x, b, max_call_s, created_at,
                                     expires_at, released_at)
                VALUES (%s, %s, 1, 'AXB', 'other', 'o', %s, '', 1, now(), now() + '{ends}', {released_at})""",  # noqa: S608  # the test's own words
            [X.code.value, ids[kind], serial],
        )
    ids["gone"] = add_route(conn, keyring, dialled=X.code.number(9))
    logs.configure()
    losses = LossCounts(tmp_path, "recorder")
    sweeper = Sweeper(
        dsn,
        HALF_YEAR,
        interval_s=0.01,
        quarantine=timedelta(hours=3),
        count_orphans=lambda count: losses.add("routes_outlived", count),
    )
    sweeper.start()
    try:
        wait_for(lambda: read_losses(tmp_path)["routes_outlived"][0] == 3)
    finally:
        sweeper.stop()
    live = conn.execute("SELECT binding_id FROM route WHERE ends_at > clock_timestamp()").fetchall()
    assert live == [(ids["live"],)]
    quarantined = conn.execute(
        "SELECT count(*) FROM route WHERE ends_at = 'epoch'"
        " AND free_at BETWEEN now() + interval '2:59' AND now() + interval '3 hours'"
    ).fetchone()
    assert quarantined == (3,)
    said = capsys.readouterr().err
    assert said.count("a pair outlived its binding and was ended") == 3
    reader = RouteReader(dsn, keyring)
    try:
        for serial, wanted in ((0, Refusal), (1, Refusal), (2, Route), (9, Refusal)):
            record, in_use, at = reader.look(X.code.number(serial), A)
            assert isinstance(decide(X.code.number(serial), A, record, at, number_in_use=in_use), wanted)
    finally:
        reader.close()
    assert sweep(dsn, HALF_YEAR, pause_s=0).orphans == 0


def test_doctor_ends_a_pair_that_outlived_its_binding(
    dsn: str, conn: psycopg.Connection, keyring: Keyring, tmp_path: Path
) -> None:
    config = Config(home=tmp_path, store=StoreConfig(dsn=as_platform(dsn)))
    assert check_routes(config).state is State.OK
    add_route(conn, keyring)
    found = check_routes(config)
    assert (found.state, found.name) == (State.FAIL, "routes")
    assert found.says.startswith("1 pairs of a 700 number and a caller still connected calls")
    assert check_routes(config).state is State.OK
    assert conn.execute("SELECT count(*) FROM route WHERE ends_at > clock_timestamp()").fetchone() == (0,)
