"""Random lives of text messages between two carriers, by seeds, so that each can be had again.

B's carrier answers, delays, refuses and breaks off, and reports early, late, twice or about nothing. The
gateway stops and starts in the middle.
"""

import asyncio
import random
import re
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from cmpp_world import B, World, deliver, reports, submit, up, world
from gateway_tools import until
from qibai.store.keys import Keyring
from qibai.testing.cmpp import DELIVER, SUBMIT, CmppPeer, read, report, result

TEXTS = 60
ANSWER_S = 1.0
FLOW, REFUSED = 8, 10
#: How B's carrier takes a copy: weight, and what it does.
ANSWERS = {"ok": 10, "slow": 3, "late": 4, "mute": 3, "flow": 3, "refused": 2, "breaks": 2}
#: Then what it says of a copy that it took, and when.
REPORTS = {"none": 2, "soon": 8, "early": 3, "late": 3, "twice": 3, "two words": 2, "about nothing": 2}
WORDS = {"DELIVRD": "delivered", "UNDELIV": "rejected", "EXPIRED": "expired"}


def drawn(chance: random.Random, table: dict[str, int]) -> str:
    return chance.choices(list(table), list(table.values()))[0]


@dataclass
class North:
    """B's carrier; what it does with the n-th copy of a text was drawn before."""

    chance: random.Random
    peers: list[CmppPeer] = field(default_factory=list)  #: its connections with us
    taken: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))  #: what became of copies
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    ids: int = 0x5A5B5C5D00000001
    quiet: bool = False  #: from now on everything is answered and reported at once

    def start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def take(self, peer: CmppPeer, sequence: int, body: bytes) -> bytes | None:
        """What is said at once to a Submit, if anything is."""
        got = read(SUBMIT, peer.version, body)
        content = got["Msg_Content"].decode("ascii" if got["Msg_Fmt"] == 0 else "utf-16-be")
        number = int(re.findall(r"m([0-9]+)e", content)[0])
        does = "ok" if self.quiet else drawn(self.chance, ANSWERS)
        says = "soon" if self.quiet else drawn(self.chance, REPORTS)
        self.taken[number].append(does)
        self.ids += 1
        msg_id = self.ids
        if does in ("flow", "refused"):
            return bytes(8) + result(peer.version, FLOW if does == "flow" else REFUSED)
        answer = msg_id.to_bytes(8, "big") + result(peer.version, 0)
        if says == "early":
            self.start(self.tell(msg_id, says))
        if does == "breaks":
            peer.writer.transport.abort()
            raise ConnectionAbortedError
        if does == "ok":
            if says != "early":
                self.start(self.tell(msg_id, says))
            return answer
        if does != "mute":
            wait = ANSWER_S * (0.4 if does == "slow" else 1.7)
            self.start(self.answer(peer, sequence, answer, wait))
        if says != "early":
            self.start(self.tell(msg_id, says))
        return None

    async def answer(self, peer: CmppPeer, sequence: int, answer: bytes, wait: float) -> None:
        await asyncio.sleep(wait)
        if not peer.closed:
            peer.send(SUBMIT | 0x80000000, answer, sequence)

    async def tell(self, msg_id: int, how: str) -> None:
        """Report about a copy until that is acknowledged."""
        word = self.chance.choice(list(WORDS))
        waits = {"late": 4 * ANSWER_S, "soon": 0.05, "twice": 0.05, "two words": 0.05}
        await asyncio.sleep(waits.get(how, 0.0))
        said = {
            "none": [],
            "twice": [(msg_id, word)] * 2,
            "two words": [(msg_id, word), (msg_id, self.chance.choice(list(WORDS)))],
            "about nothing": [(msg_id ^ 0xFF00000000, word), (msg_id, word)],
        }.get(how, [(msg_id, word)])
        for about, what in said:
            await self.deliver(about, what)

    async def deliver(self, about: int, word: str) -> None:
        while True:
            live = [peer for peer in self.peers if peer.greeted and not peer.closed]
            if live:
                peer = live[-1]
                content = report(peer.version, about, word, B.national)
                try:
                    answer = await peer.ask(DELIVER, deliver(peer.version, content, Registered_Delivery=1))
                except (AssertionError, ConnectionError):  # it was closed meanwhile
                    answer = b"\xff" * 12
                if answer[8:] == result(peer.version, 0):
                    return
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.timeout(400)
async def test_whatever_peers_do_each_text_has_one_record_one_end_and_its_reports(
    tmp_path: Path, dsn: str, keyring: Keyring, seed: int
) -> None:
    chance = random.Random(seed)
    made = world(tmp_path, dsn, keyring, answer_s=ANSWER_S)
    messaging = msgspec.structs.replace(made.config.messaging, validity_s=25, receipt_wait_s=5)
    made = World(msgspec.structs.replace(made.config, messaging=messaging), dsn, made.port)
    north = North(chance)
    acknowledged: dict[int, bool] = {}  #: by text: whether its sender wants to hear of its end
    heard: list[dict[str, Any]] = []

    async with made.north() as ismg:
        usual, north.peers = ismg._auto, ismg.peers

        def auto(peer: CmppPeer, command: int, sequence: int, body: bytes) -> bytes | None:
            return (
                north.take(peer, sequence, body)
                if command == SUBMIT
                else usual(peer, command, sequence, body)
            )

        ismg._auto = auto  # type: ignore[method-assign]
        numbers = iter(range(TEXTS))
        for life in range(3):
            async with AsyncExitStack() as stack:
                gateway = await stack.enter_async_context(made.gateway())
                await up(gateway, "north")
                south = await stack.enter_async_context(made.south())
                if life == 2:
                    north.quiet = True
                for number in (n for _, n in zip(range(TEXTS // 3), numbers, strict=False)):
                    wants = chance.random() < 0.7
                    text = submit(3, f"m{number}e", Registered_Delivery=int(wants))
                    answer = await south.ask(SUBMIT, text)
                    assert answer[8:] == result(3, 0)
                    acknowledged[number] = wants
                    await asyncio.sleep(chance.random() * 0.1)
                if life == 2:
                    await until(lambda: not due(dsn) and len(rows(dsn)) == TEXTS, 200)
                else:
                    await asyncio.sleep(chance.random() * 3)
            heard += reports(south)
        for task in list(north.tasks):
            task.cancel()
    assert sorted(acknowledged) == list(range(TEXTS))
    found = rows(dsn)
    assert len(found) == TEXTS
    assert all(final for _, final, _ in found.values()), "a text has no end"
    assert due(dsn) == []
    copies = {n: sum(does not in ("flow", "refused") for does in did) for n, did in north.taken.items()}
    assert {n: count for n, count in copies.items() if count > 2} == {}
    told = Counter(got["about"].hex() for got in heard)
    wanted = {ref: wants for ref, (_, _, wants) in found.items()}
    assert {ref: count for ref, count in told.items() if count > 1} == {}
    assert set(told) == {ref for ref, wants in wanted.items() if wants}
    states = {got["about"].hex(): got["stat"] for got in heard}
    names = {"delivered": "DELIVRD", "expired": "EXPIRED", "unknown": "UNKNOWN"}
    for ref, stat in states.items():
        assert stat == names.get(found[ref][0], stat)
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM message_sent").fetchone() == (0,)


def rows(dsn: str) -> dict[str, tuple[str, bool, bool]]:
    """By the Msg_Id that a text was given: its state, whether it has an end, whether its sender is told."""
    with psycopg.connect(dsn) as conn:
        found = conn.execute(
            "SELECT in_ref, state, final_at IS NOT NULL, flags & 1 = 1 FROM message"
        ).fetchall()
    assert len({ref for ref, *_ in found}) == len(found)
    return {ref[-16:]: (state, final, wants) for ref, state, final, wants in found}


def due(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as conn:
        return conn.execute("SELECT id, state FROM message WHERE due_at IS NOT NULL").fetchall()
