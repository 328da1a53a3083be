"""Long texts that look alike, and parts that come to different nodes."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest
from store_rows import A, B, C, X, add_route

from gateway_tools import bound, config_for, peer, running, states, until
from qibai.core.messages import MessageState
from qibai.core.text import Concat, Part, decode, split
from qibai.core.text import Encoding as E
from qibai.store.keys import Keyring
from qibai.testing.messages import LoopPeer, read_part

FIRST = "您的包裹已到达，请在今天之内到门口的柜子里取走，取件码在下一条短信里。" * 2


def long_text(end: str) -> list[Part]:
    """Two parts; the first is the same whatever the end, and so is the reference."""
    parts = split(FIRST[:67] + end, E.UCS2, ref=7)
    assert len(parts) == 2
    return parts


def texts_of(*carriers: LoopPeer) -> list[str]:
    """What arrived, long texts put together by reference; those of two texts may be equal by chance."""
    found: dict[tuple[int, str], dict[int, list[str]]] = {}
    for carrier in carriers:
        for said in carrier.submitted:
            part = read_part(said["part"])
            place = part.concat or Concat(0, 1, 1)
            pieces = found.setdefault((place.ref, said["destination"]), {})
            pieces.setdefault(place.seq, []).append(decode(part))
    whole = (zip(*(pieces[seq] for seq in sorted(pieces)), strict=True) for pieces in found.values())
    return sorted("".join(parts) for texts in whole for parts in texts)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 3, 2), (0, 2, 3, 1), (3, 1, 2, 0)])
async def test_two_texts_with_one_reference_are_both_kept(
    tmp_path: Path, dsn: str, keyring: Keyring, order: tuple[int, ...]
) -> None:
    bound(dsn, keyring)
    parts = [*long_text("一" * 20), *long_text("二" * 30)]
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        ids = [
            (await carrier.send(f"r{place}", A.e164, str(X), parts[place], wants_receipt=True))["id"]
            for place in order
        ]
        assert len(set(ids)) == 4
        await until(lambda: len(carrier.submitted) == 4)
        assert texts_of(carrier) == sorted(FIRST[:67] + end for end in ("一" * 20, "二" * 30))
        for out in list(carrier.submitted):
            await carrier.receipt(out["ref"], MessageState.DELIVERED)
        await until(lambda: len(carrier.reports) == 4)
        assert {report["ref"] for report in carrier.reports} == {f"r{place}" for place in range(4)}
        await until(lambda: states(dsn) == dict.fromkeys(ids, "delivered"))


async def test_the_same_part_under_its_own_ref_is_kept_once(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    first, second = long_text("一" * 9)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        answers = [await carrier.send(ref, A.e164, str(X), first) for ref in ("r1", "r1")]
        assert answers[0] == answers[1]
        await carrier.send("r2", A.e164, str(X), second)
        await until(lambda: len(carrier.submitted) == 2)
        assert len(states(dsn)) == 2


async def test_members_of_a_group_do_not_share_a_text(tmp_path: Path, dsn: str, keyring: Keyring) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        id = add_route(conn, keyring, caller=A, callee=B)
        add_route(conn, keyring, caller=C, callee=B, binding_id=id)
    ours, theirs = long_text("一" * 9), long_text("二" * 9)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        refs = (f"r{number}" for number in itertools.count())
        for sender, part in ((A, ours[0]), (C, theirs[1]), (C, theirs[0]), (A, ours[1])):
            await carrier.send(next(refs), sender.e164, str(X), part)
        await until(lambda: len(carrier.submitted) == 4)
        assert texts_of(carrier) == sorted(FIRST[:67] + end for end in ("一" * 9, "二" * 9))


@asynccontextmanager
async def two_nodes(
    folder: Path, dsn: str, answer: Callable[[LoopPeer, str], dict[str, str]] | None = None
) -> AsyncIterator[list[LoopPeer]]:
    """Two gateways on one database, each with its own connection to one carrier, whose ids are unique.

    ``answer`` makes the first node's answers of the second node's peer and an id.
    """
    ids = itertools.count(1)
    async with AsyncExitStack() as stack:
        carriers: list[LoopPeer] = []

        def answered(said: object) -> dict[str, str]:
            return {"ref": f"p{next(ids)}"}

        def first(said: object) -> dict[str, str]:
            return answer(carriers[1], f"p{next(ids)}") if answer else answered(said)

        for node, submitted in (("n1", first), ("n2", answered)):
            carrier, port = await stack.enter_async_context(peer(submitted))
            home = folder / node
            home.mkdir()
            shutil.copy(folder / "keys.json", home)
            config = msgspec.structs.replace(config_for(home, dsn, {"one": port}), node=node)
            await stack.enter_async_context(running(config))
            await carrier.connected()
            carriers.append(carrier)
        yield carriers


async def test_parts_that_come_to_two_nodes_are_joined_once_and_reported_to_both(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    async with two_nodes(tmp_path, dsn) as carriers:
        sends = [
            carriers[(number + seq) % 2].send(f"t{number}.{seq}", A.e164, str(X), part, wants_receipt=True)
            for number in range(8)
            for seq, part in enumerate(split(f"{number}{FIRST}", E.UCS2, ref=number))
        ]
        await asyncio.gather(*sends)
        await until(lambda: sum(len(carrier.submitted) for carrier in carriers) == len(sends))
        for carrier, other in zip(carriers, reversed(carriers), strict=True):
            for out in list(carrier.submitted):  # what became of it is told to the other node
                await other.receipt(out["ref"], MessageState.DELIVERED)
        await until(lambda: list(states(dsn).values()) == ["delivered"] * len(sends))
        await until(lambda: sum(len(carrier.reports) for carrier in carriers) == len(sends))


async def test_a_receipt_at_the_other_node_finds_its_message(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    """It comes there before the answer, so before the first node's facts are in PostgreSQL."""
    bound(dsn, keyring)
    early: list[asyncio.Task[object]] = []

    def answer(other: LoopPeer, ref: str) -> dict[str, str]:
        early.append(asyncio.create_task(other.receipt(ref, MessageState.DELIVERED)))
        return {"ref": ref}

    async with two_nodes(tmp_path, dsn, answer) as carriers:
        for number in range(8):
            part = Part(b"hi", E.GSM7)
            await carriers[0].send(f"r{number}", A.e164, str(X), part, wants_receipt=True)
        await until(lambda: list(states(dsn).values()) == ["delivered"] * 8)
        await until(lambda: len(carriers[0].reports) == 8)

        def kept() -> int:
            with psycopg.connect(dsn) as conn:
                return len(conn.execute("SELECT FROM message_receipt").fetchall())

        await until(lambda: kept() == 0)
