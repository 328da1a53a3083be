"""Two nodes with different clocks, and a crowd that does everything to few bindings at once.

``TEST_BINDING_ACTS`` says how many acts, ``TEST_BINDING_SEED`` which.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

import binding_rounds
from binding_crowd import CODE, Book, Client
from binding_watch import guard
from node_tools import Node
from qibai.core.roles import Role
from qibai.store import codes, tenants
from qibai.store.keys import Keyring

ACTS = int(os.environ.get("TEST_BINDING_ACTS", "2000"))
SEED = int(os.environ.get("TEST_BINDING_SEED", "700"))
QUARANTINE_S = 2
CROWD = 8
_ACTS_A_ROUND = 160


@dataclass(frozen=True)
class World:
    nodes: list[Node]
    tenant_id: int
    tenant: str
    carrier: str


@pytest.fixture
def world(dsn: str, keyring: Keyring, tmp_path: Path) -> Iterator[World]:
    """One node is half a second ahead of the database, the other half a second behind."""

    async def keys() -> tuple[int, str, str]:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            made = await tenants.add_tenant(conn, "acme")
            carrier = await tenants.add_tenant(conn, "carrier")
            await codes.add_codes(conn, [CODE], tenant_id=made.id)
            one = await tenants.add_key(conn, keyring, made.id, Role.TENANT)
            other = await tenants.add_key(conn, keyring, carrier.id, Role.NETWORK)
            return made.id, one.bearer, other.bearer

    tenant_id, tenant, carrier = asyncio.run(keys())
    nodes = [
        Node(tmp_path / name, dsn, keyring.path, ahead_s=ahead_s, quarantine_s=QUARANTINE_S)
        for name, ahead_s in (("ahead", 0.5), ("behind", -0.5))
    ]
    with ExitStack() as stack:
        for node in nodes:
            stack.enter_context(node)
        yield World(nodes, tenant_id, tenant, carrier)


@pytest.mark.timeout(600 + ACTS // 5)
def test_whatever_meets_the_routes_are_those_of_the_bindings(
    dsn: str, keyring: Keyring, world: World
) -> None:
    quarantine = timedelta(seconds=QUARANTINE_S)
    guard(dsn, quarantine)
    book = Book()
    crowd = [
        Client(
            book, world.nodes, (world.tenant, world.carrier), seed=SEED * CROWD + place, quarantine=quarantine
        )
        for place in range(CROWD)
    ]
    try:
        binding_rounds.run(
            dsn,
            keyring,
            world.tenant_id,
            book,
            crowd,
            acts=ACTS,
            acts_a_round=_ACTS_A_ROUND,
            quarantine=quarantine,
        )
    finally:
        print(f"seed {SEED}: {dict(sorted(book.answers.items()))}")
        for client in crowd:
            client.close()
    for kind in ("release 200", "change 200", "join 200", "leave 200", "extend 200", "change binding_ended"):
        assert book.answers.get(kind), f"nothing shows what happens at: {kind}"
