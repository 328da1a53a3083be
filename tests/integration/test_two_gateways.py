"""Two gateways in two processes, on one database and two connections of one carrier."""

import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from store_rows import A, X

from gateway_nodes import node
from gateway_tools import bound, peer, states, text_part, until
from qibai.core.messages import MessageState
from qibai.core.text import Encoding, decode, split
from qibai.store.keys import Keyring
from qibai.store.rotation import rotate_values
from qibai.testing.messages import LoopPeer, read_part

ROUNDS = 8
TEXT = "订单已送达，请到门口取件。" * 12


def texts(carrier: LoopPeer) -> list[str]:
    """What the carrier was given, long texts put together by their references."""
    found: dict[Any, dict[int, str]] = {}
    for number, said in enumerate(carrier.submitted):
        part = read_part(said["part"])
        place = part.concat
        key = (place.ref, place.total) if place else number
        found.setdefault(key, {})[place.seq if place else 1] = decode(part)
    return ["".join(parts[seq] for seq in sorted(parts)) for parts in found.values()]


async def test_parts_that_reach_different_nodes_join_and_receipts_count_at_either(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    """No two long texts leave under one reference, whatever node sends them: phones would mix their parts."""
    bound(dsn, keyring)
    early: list[asyncio.Task[Any]] = []
    numbers = itertools.count(1)
    carriers: list[LoopPeer] = []

    def answering(other: int) -> Callable[[Any], dict[str, Any]]:
        """The receipt comes at the other node, together with the answer."""

        def answer(said: Any) -> dict[str, Any]:
            ref = f"{other}-{next(numbers)}"
            early.append(asyncio.create_task(carriers[other].receipt(ref, MessageState.DELIVERED)))
            return {"ref": ref}

        return answer

    async with peer(answering(1)) as (one, port_1), peer(answering(0)) as (two, port_2):
        carriers += [one, two]
        with (
            node(tmp_path, dsn, port_1, "n1"),
            node(tmp_path, dsn, port_2, "n2"),
        ):
            await one.connected()
            await two.connected()
            whole = []
            for number in range(ROUNDS):
                text = f"{number}: {TEXT}"
                whole.append(text)
                parts = split(text, Encoding.UCS2, wide=True, ref=1000 + number)
                for place, part in enumerate(parts):
                    carrier = carriers[(number + place) % 2]
                    ref = f"{number}.{place}"
                    said = await carrier.send(ref, A.e164, str(X), part, wants_receipt=True)
                    assert "id" in said
                short = f"short {number}"
                whole.append(short)
                await carriers[number % 2].send(
                    f"{number}", A.e164, str(X), text_part(short), wants_receipt=True
                )
            await until(lambda: sorted(texts(one) + texts(two)) == sorted(whole))
            references = [
                concat.ref
                for said in one.submitted + two.submitted
                if (concat := read_part(said["part"]).concat)
            ]
            assert sorted(Counter(references).values()) == [3] * ROUNDS
            await asyncio.gather(*early)
            await until(lambda: set(states(dsn).values()) == {"delivered"})
            wanted = len(states(dsn))
            await until(lambda: len(one.reports) + len(two.reports) == wanted)
            for carrier, others in ((one, two), (two, one)):
                told = {said["ref"] for said in carrier.reports}
                assert told.isdisjoint(said["ref"] for said in others.reports)
            await until(lambda: left(dsn) == (0, 0))


def left(dsn: str) -> tuple[int, int]:
    """Messages for which something is to be done, and parts that wait for receipts."""
    with psycopg.connect(dsn) as conn:
        found = [
            conn.execute("SELECT count(*) FROM message WHERE due_at IS NOT NULL").fetchone() or (-1,),
            conn.execute("SELECT count(*) FROM message_sent").fetchone() or (-1,),
        ]
    return found[0][0], found[1][0]


async def test_texts_wait_for_a_key_that_another_node_has_made(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    """Between a rotation on one node and the copy of its key file to the other, nothing is lost there."""
    bound(dsn, keyring)
    long = split(TEXT, Encoding.UCS2, wide=True, ref=7)
    async with peer(lambda _: {"ref": str(next(refs))}) as (carrier, port):
        refs = itertools.count(1)
        with node(tmp_path, dsn, port, "n1") as other:
            await carrier.connected()
            await carrier.send("1", A.e164, str(X), long[0], wants_receipt=True)
            rotate_values(dsn, keyring, settle_s=0)
            await carrier.send("2", A.e164, str(X), text_part("short"), wants_receipt=True)
            for place, part in enumerate(long[1:]):
                await carrier.send(f"3.{place}", A.e164, str(X), part, wants_receipt=True)
            await asyncio.sleep(2.5)  # longer than the clock's pause
            assert carrier.submitted == []
            assert set(states(dsn).values()) == {"queued"}
            shutil.copy(keyring.path, other.home / "keys.json")
            await until(lambda: sorted(texts(carrier)) == sorted(["short", TEXT]))
            for sent in range(1, next(refs)):
                await carrier.receipt(str(sent), MessageState.DELIVERED)
            await until(lambda: set(states(dsn).values()) == {"delivered"})
            await until(lambda: len(carrier.reports) == 1 + len(long))
