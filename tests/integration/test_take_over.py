"""What a stopped node holds is shown, and passes to another; if its gateway wakes, it sends nothing of it."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli_tools import Cli, cli_in
from store_rows import A, X

from database_tools import as_platform
from gateway_nodes import ended, node, silent_for
from gateway_tools import bound, peer, states, text_part, until
from qibai.core.messages import MessageState
from qibai.core.text import decode
from qibai.messaging.fence import HOLDS_S
from qibai.store.keys import Keyring
from qibai.testing.messages import LoopPeer, Lost, read_part

WAITING = 12


@pytest.fixture
def store(database: Callable[[], str]) -> str:
    return database()


@pytest.fixture
def cli(store: str, tmp_path: Path) -> Iterator[Cli]:
    variables = {"QIBAI_STORE_DSN": as_platform(store), "QIBAI_VOICE_ENABLED": "false", "QIBAI_NODE": "n2"}
    with cli_in(tmp_path / "home", **variables) as made:
        made.run("init")
        yield made


def texts(carrier: LoopPeer) -> list[str]:
    return [decode(read_part(said["part"])) for said in carrier.submitted]


def finding(cli: Cli, name: str) -> Any:
    checks = cli.json("doctor", status=1)["checks"]
    return next((one for one in checks if one["name"] == name), None)


async def of_node(store: str, name: str) -> None:
    def lives() -> bool:
        with psycopg.connect(store) as conn:
            query = "SELECT 1 FROM message_node WHERE node = %s AND seen_at > now() - interval '3 seconds'"
            return conn.execute(query, (name,)).fetchone() is not None

    await until(lives)


async def test_a_node_that_sleeps_loses_its_messages_and_wakes_without_sending_them(
    cli: Cli, store: str, tmp_path: Path
) -> None:
    keyring = Keyring.load(cli.config.key_file)
    bound(store, keyring)
    first: dict[str, Any] = {"later": 1}

    def answer(said: Any) -> dict[str, Any]:
        return {"ref": "s1"} if decode(read_part(said["part"])) == "sent" else dict(first)

    async with peer(answer) as (one, port_1), peer() as (two, port_2):
        with (
            node(cli.home, store, port_1, "n1") as n1,
            node(cli.home, store, port_2, "n2"),
        ):
            await one.connected()
            await two.connected()
            await of_node(store, "n1")
            await of_node(store, "n2")
            for number, text in enumerate(["sent", *(f"m{i}" for i in range(WAITING))]):
                said = await one.send(f"r{number}", A.e164, str(X), text_part(text), wants_receipt=True)
                assert "id" in said
            await until(lambda: set(texts(one)) >= {f"m{i}" for i in range(WAITING)})
            await until(lambda: sorted(states(store).values()) == ["queued"] * WAITING + ["sent"])
            refused = await asyncio.to_thread(lambda: cli.run("take-over", "n1", status=None))
            assert refused.returncode != 0
            assert "was seen within" in " ".join(refused.stderr.split())

            n1.send(signal.SIGSTOP)
            await asyncio.sleep(HOLDS_S + 1)
            silent_for(store, "n1", 90)
            seen = len(one.submitted)
            first.clear()
            first["ref"] = "too late"
            said = await asyncio.to_thread(finding, cli, "node n1")
            assert said["state"] == "fail"
            assert f"{WAITING + 1} messages: {WAITING} to send, 1 that wait for receipts" in said["says"]
            assert "take-over n1" in said["mend"]
            taken = await asyncio.to_thread(cli.json, "take-over", "n1")
            assert taken == {"node": "n1", "to": "n2", "messages": WAITING + 1}
            await until(lambda: sorted(texts(two)) == sorted(f"m{i}" for i in range(WAITING)))

            n1.send(signal.SIGCONT)
            assert await ended(n1.process) == 0
            assert len(one.submitted) == seen
            n1.again()
            await of_node(store, "n1")
            for ref in ("s1", *(said["ref"] for said in two.submitted)):
                assert await two.receipt(ref, MessageState.DELIVERED) == {"known": True}
            await until(lambda: set(states(store).values()) == {"delivered"})
            await until(lambda: len(two.reports) == WAITING + 1)
            assert {said["ref"] for said in two.reports} == {f"r{i}" for i in range(WAITING + 1)}
            assert len(two.submitted) == WAITING
            assert len(one.submitted) == seen
            assert one.reports == []
            await one.connected()
            assert await asyncio.to_thread(finding, cli, "node n1") is None
            await one.send("new", A.e164, str(X), text_part("new"))
            await until(lambda: texts(one)[-1] == "new")
            assert len(one.submitted) == seen + 1
    (entry,) = cli.json("audit", "list", "--action", "message.take_over")
    assert entry["subject"] == "node:n1"


async def test_what_may_have_been_sent_already_goes_out_once_more_at_most(
    cli: Cli, store: str, tmp_path: Path
) -> None:
    """The node died without a word while its peer was silent; the other node's peer is silent, too."""
    keyring = Keyring.load(cli.config.key_file)
    bound(store, keyring)

    carriers: list[LoopPeer] = []

    def no_answer(said: Any) -> dict[str, Any]:
        for carrier in carriers:
            carrier.hang_up()
        return {"ref": "nobody hears it"}

    async with peer(no_answer) as (one, port_1), peer(no_answer) as (two, port_2):
        carriers += [one, two]
        with node(cli.home, store, port_1, "n1") as n1:
            await one.connected()
            with contextlib.suppress(Lost):
                await one.send("r1", A.e164, str(X), text_part("hi"), wants_receipt=True)
            await until(lambda: one.submitted)
            n1.send(signal.SIGKILL)
            await ended(n1.process)
        silent_for(store, "n1", 90)
        with node(cli.home, store, port_2, "n2"):
            await of_node(store, "n2")
            await asyncio.to_thread(cli.json, "take-over", "n1")
            await until(lambda: list(states(store).values()) == ["unknown"])
        assert (len(one.submitted), len(two.submitted)) == (1, 1)


def test_what_cannot_be_taken_over(cli: Cli, store: str) -> None:
    for args, says in (
        (("n1",), "no gateway runs on the node n2"),
        (("n2",), "cannot take over its own messages"),
    ):
        done = cli.run("take-over", *args, status=None)
        assert done.returncode != 0
        assert says in " ".join(done.stderr.split())
