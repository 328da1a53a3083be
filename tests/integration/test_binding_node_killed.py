"""kill -9 of a node among binds."""

import asyncio
import http.client
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api_tools import wait_for
from binding_tools import assert_whole
from node_tools import Line
from node_world import World, two_nodes
from qibai.core.ids import parse_id
from qibai.store.keys import Keyring

CROWD = 8
SEED = 700


@pytest.fixture
def world(dsn: str, keyring: Keyring, tmp_path: Path) -> Iterator[World]:
    with two_nodes(dsn, keyring, tmp_path) as made:
        yield made


class Orders(threading.Thread):
    """Binds one order after the other at one node, each under a key of its own, until it is told to stop."""

    def __init__(self, line: Line, place: int) -> None:
        super().__init__(daemon=True)
        self._line, self._place = line, place
        self.stop = threading.Event()
        self.asked: dict[str, dict[str, object]] = {}  #: key → request
        self.answered: dict[str, str] = {}  #: key → binding

    def run(self) -> None:
        while not self.stop.is_set():
            key = f"{self._place}-{len(self.asked)}"
            number = self._place * 100_000 + len(self.asked)
            body = {
                "mode": "AXYB",
                "a": f"+86138{number:08d}",
                "b": f"+86139{number:08d}",
                "order_id": key,
            }
            self.asked[key] = body
            try:
                answer = self._line.ask("POST", "/v1/bindings", body, key)
            except ConnectionRefusedError:  # nobody heard it
                del self.asked[key]
                time.sleep(0.05)
                continue
            except (OSError, http.client.HTTPException):  # the node died over it: it is asked for again later
                continue
            assert answer.status == 201, answer
            self.answered[key] = answer.body["id"]


@pytest.mark.timeout(400)
async def test_a_node_killed_among_binds_loses_and_doubles_nothing(dsn: str, world: World) -> None:
    """What was acknowledged is there; what was not may be asked for again, at any node, and is made once."""
    dying, other = world.nodes
    crowd = [Orders(Line(dying, world.tenant), place) for place in range(CROWD)]
    for orders in crowd:
        orders.start()
    pause = random.Random(SEED)
    for _ in range(3):
        before = sum(len(orders.answered) for orders in crowd)
        wait_for(lambda before=before: sum(len(one.answered) for one in crowd) > before + 50, 60)
        await asyncio.sleep(pause.random() / 20)  # at any moment of a commit
        dying.kill()
        dying.start()
    for orders in crowd:
        orders.stop.set()
        orders.join(60)
        assert not orders.is_alive()

    unanswered = {
        key: body for orders in crowd for key, body in orders.asked.items() if key not in orders.answered
    }
    assert unanswered, "no bind was under way when the node died"
    acknowledged = {key: id for orders in crowd for key, id in orders.answered.items()}
    line, again = Line(other, world.tenant), Line(dying, world.tenant)
    made = {}
    for key, body in unanswered.items():
        first = line.ask("POST", "/v1/bindings", body, key)
        assert first.status == 201, first
        second = again.ask("POST", "/v1/bindings", body, key)
        assert (second.status, second.replayed, second.body["id"]) == (201, True, first.body["id"])
        assert (second.body["x"], second.body["y"]) == (first.body["x"], first.body["y"])
        made[key] = first.body["id"]
    for orders in crowd:
        for key, id in list(orders.answered.items())[-5:]:
            replay = line.ask("POST", "/v1/bindings", orders.asked[key], key)
            assert (replay.status, replay.replayed, replay.body["id"]) == (201, True, id)
    for one in (line, again):
        one.close()
    with psycopg.connect(dsn, autocommit=True) as conn:
        stored = conn.execute("SELECT order_id, code, id FROM binding").fetchall()
    wanted = {(key, parse_id("b", id)) for key, id in (acknowledged | made).items()}
    assert len(stored) == len(wanted)
    assert {(order, (code, id)) for order, code, id in stored} == wanted
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        row = await (await conn.execute("SELECT clock_timestamp()")).fetchone()
        assert row is not None
        await assert_whole(conn, row[0])
