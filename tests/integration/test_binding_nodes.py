"""Two nodes with different clocks, and a crowd that does everything to few bindings at once.

``TEST_BINDING_ACTS`` says how many acts, ``TEST_BINDING_SEED`` which.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import binding_rounds
from binding_crowd import Book, Client
from binding_watch import guard
from node_world import QUARANTINE_S, World, two_nodes
from qibai.store.keys import Keyring

ACTS = int(os.environ.get("TEST_BINDING_ACTS", "2000"))
SEED = int(os.environ.get("TEST_BINDING_SEED", "700"))
CROWD = 8
_ACTS_A_ROUND = 160


@pytest.fixture
def world(dsn: str, keyring: Keyring, tmp_path: Path) -> Iterator[World]:
    with two_nodes(dsn, keyring, tmp_path) as made:
        yield made


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
