"""Several hosts in one connection string: one that hangs stops nobody."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from binding_tools import CODES, DAY, TENANT, item, value
from qibai.core.errors import StoreUnavailable
from qibai.core.numbering import Code, Number700
from qibai.store.bindings import bind_many, get
from qibai.store.connections import Connections
from qibai.store.failures import own_errors
from qibai.store.hosts import connect
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader


@pytest.fixture
def mute() -> Iterator[tuple[str, int]]:
    """A host that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()


@pytest.fixture
def two_hosts(dsn: str, mute: tuple[str, int]) -> str:
    """The mute host first, then the server."""
    said = conninfo_to_dict(dsn)
    hosts = f"{mute[0]},{said['host']}"
    ports = f"{mute[1]},{said.get('port') or 5432}"
    return make_conninfo(dsn, host=hosts, port=ports, target_session_attrs="read-write")


async def test_a_mute_host_stands_first(two_hosts: str, keyring: Keyring) -> None:
    connections = Connections(two_hosts, 2)
    wanted = item(1, 2, expires_at=datetime.now(UTC) + DAY)
    async with connections.get() as conn:
        (made,) = await bind_many(conn, keyring, TENANT, CODES, [wanted], quarantine=DAY)
        binding = made.binding  # type: ignore[union-attr]
    assert await connections.run(lambda conn: value(conn, "SELECT 1")) == 1
    await connections.close()
    with connect(two_hosts) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)
    reader = RouteReader(two_hosts, keyring, statement_timeout_ms=2_000)
    assert reader.find(binding.x, wanted.parties.near[0]) is not None
    reader.close()


def test_a_look_up_gets_past_a_mute_host_at_its_first_try(two_hosts: str, keyring: Keyring) -> None:
    reader = RouteReader(two_hosts, keyring, statement_timeout_ms=2_000)
    assert reader.find(Number700(Code(1), 1), item().parties.b) is None
    reader.close()


async def test_who_prefers_a_standby_and_finds_none_gets_past_a_mute_host(
    two_hosts: str, keyring: Keyring
) -> None:
    dsn = make_conninfo(two_hosts, target_session_attrs="prefer-standby")
    reader = RouteReader(dsn, keyring, statement_timeout_ms=2_000)
    assert reader.find(Number700(Code(1), 1), item().parties.b) is None
    reader.close()


async def test_a_server_that_hangs_holds_nobody_past_the_deadline(dsn: str, keyring: Keyring) -> None:
    """The backend is stopped while it has a bind; no cancelling reaches it."""
    connections = Connections(dsn, 1)
    wanted = item(1, 2, expires_at=datetime.now(UTC) + DAY)
    async with connections.get() as conn:
        stopped = await value(conn, "SELECT pg_backend_pid()")
    os.kill(stopped, signal.SIGSTOP)
    try:
        async with asyncio.timeout(8):
            with pytest.raises(StoreUnavailable):
                async with connections.get(timeout_s=1.0) as conn:
                    await bind_many(conn, keyring, TENANT, CODES, [wanted], quarantine=DAY)
            assert connections.free == 1
            async with connections.get() as other:
                (made,) = await bind_many(other, keyring, TENANT, CODES, [wanted], quarantine=DAY)
                binding = made.binding  # type: ignore[union-attr]
                assert await get(other, keyring, TENANT, binding.code, binding.id)
    finally:
        os.kill(stopped, signal.SIGCONT)
    await connections.close()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_connection_that_died_while_idle_is_replaced_before_the_work(
    dsn: str, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ended it, or says nothing at all any more."""
    monkeypatch.setattr("qibai.store.hosts.IDLE_S", 0.0 if silent else 3_600.0)
    connections = Connections(dsn, 1, connect_timeout_s=1)
    old = await connections.run(lambda conn: value(conn, "SELECT pg_backend_pid()"))
    try:
        if silent:
            os.kill(old, signal.SIGSTOP)
        else:
            with psycopg.connect(dsn) as admin:
                assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", [old]).fetchone() == (True,)
        assert await connections.run(lambda conn: value(conn, "SELECT pg_backend_pid()")) != old
        assert connections.up
    finally:
        if silent:
            os.kill(old, signal.SIGCONT)
    await connections.close()


async def test_work_whose_connection_breaks_under_it_is_not_done_again(dsn: str) -> None:
    """It may have been done: whoever asked is answered that it is not known."""
    connections, runs = Connections(dsn, 1), 0

    async def work(conn: psycopg.AsyncConnection[Any]) -> None:
        nonlocal runs
        runs += 1
        with own_errors():
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreUnavailable):
        await connections.run(work)
    assert (runs, connections.up) == (1, False)
    await connections.close()


async def test_connections_are_closed_while_somebody_waits_for_an_answer(dsn: str) -> None:
    """The work that waits ends first: a connection that is closed under it crashed the process."""
    for _ in range(20):
        connections = Connections(dsn, 1, patience_s=None)
        await connections.run(lambda conn: value(conn, "SELECT 1"))
        waiting = [
            asyncio.create_task(connections.run(lambda conn: value(conn, "SELECT pg_sleep(60)")))
            for _ in range(2)
        ]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(4):  # which is less than work may take
            await connections.close()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, StoreUnavailable), outcome
        with pytest.raises(StoreUnavailable):
            await connections.run(lambda conn: value(conn, "SELECT 1"))
