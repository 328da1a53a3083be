"""A peer on SIP that does not answer in time: in doubt, repeated once at most; its late answer settles it."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from msgspec import structs
from store_rows import add_route

from gateway_tools import FACTORIES, peer, states, text_part, until
from message_tools import Gateway, message_bench, outgoing
from qibai.config import MessageLink, Peer
from qibai.messaging.gateway import Gateway as WholeGateway
from qibai.messaging.link import InDoubt, NotNow, Rejected, SubmitError
from qibai.messaging.links import FACTORIES as LINKS
from qibai.testing.platform import wait_for
from voice_tools import DEAD_AT, A, B, Bench, peers

pytestmark = pytest.mark.voice

NOWHERE = "host=127.0.0.1 port=9 dbname=none"
Says = Callable[[int], tuple[float, str] | None]


class Slow:
    """A peer that answers the n-th copy of a MESSAGE as ``says(n)``: after so many seconds, so; None: never.

    What has one branch is one copy, however often it comes.
    """

    def __init__(self, at: tuple[str, int], says: Says) -> None:
        self.copies: dict[str, str] = {}
        self._says = says
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(at)
        self._thread = threading.Thread(target=self._serve)
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"END", self._socket.getsockname())
        self._thread.join()
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65_536)
            if data == b"END":
                return
            text = data.decode()
            branch = re.findall(r"branch=([^;\r]+)", text)[0]
            if text.startswith("OPTIONS"):
                self._answer(text, "200 OK", sender)
            elif branch not in self.copies:
                self.copies[branch] = text
                said = self._says(len(self.copies))
                if said is not None:
                    timer = threading.Timer(said[0], self._answer, (text, said[1], sender))
                    self._timers.append(timer)
                    timer.start()

    def _answer(self, request: str, status: str, to: Any) -> None:
        kept = ("Via", "From", "To", "Call-ID", "CSeq")
        lines = [line for line in request.split("\r\n") if line.partition(":")[0] in kept]
        lines = [f"{line};tag=slow" if line.startswith("To:") else line for line in lines]
        text = "\r\n".join([f"SIP/2.0 {status}", *lines, "Content-Length: 0", "", ""])
        self._socket.sendto(text.encode(), to)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with message_bench(tmp_path_factory.mktemp("doubt"), lambda: NOWHERE) as made:
        yield made


Answer = str | SubmitError


@contextmanager
def sent(voice: Bench, says: Says, id: int) -> Iterator[tuple[Slow, Answer, list[Answer], list[int]]]:
    """What the link says of one message, what it says later, and how often it went out."""
    late: list[Answer] = []
    left: list[int] = []
    with Slow(voice.callee, says) as slow, Gateway(voice.platform.config) as gateway:
        made = replace(
            outgoing("hi", voice.number(), B, id=id), late=late.append, leaving=lambda: left.append(1)
        )
        answer: Answer
        try:
            answer = str(gateway.start(gateway.link.submit(made))())
        except SubmitError as exc:
            answer = exc
        yield slow, answer, late, left


@pytest.mark.parametrize(
    ("after_s", "status", "meant"),
    [(9.5, "200 OK", str), (20, "200 OK", str), (9.5, "404 Not Found", Rejected), (20, "503 Away", NotNow)],
)
def test_a_late_answer_settles_the_doubt(
    voice: Bench, after_s: float, status: str, meant: type[str | SubmitError]
) -> None:
    """While Kamailio still has the transaction, and when it has forgotten it."""
    id = int(after_s * 10) + int(status[:3])
    with sent(voice, lambda n: (after_s, status), id) as (slow, said, late, _):
        assert isinstance(said, InDoubt)
        assert said.again_s is not None
        assert said.again_s > 15  # not before the peer must have given up
        wait_for(lambda: late, "the late answer", 60)
        assert [type(one) for one in late] == [meant]
        assert len(slow.copies) == 1


@pytest.mark.parametrize("status", ["408 Request Timeout", "504 Server Time-out"])
def test_a_time_out_behind_the_peer_is_a_doubt_too(voice: Bench, status: str) -> None:
    with sent(voice, lambda n: (0, status), id=int(status[:3])) as (slow, said, late, left):
        assert isinstance(said, InDoubt)
        assert (len(slow.copies), len(left), late) == (1, 1, [])


def test_overload_is_no_doubt(voice: Bench) -> None:
    with sent(voice, lambda n: (0, "503 Service Unavailable"), id=503) as (slow, said, _, _):
        assert isinstance(said, NotNow)
        assert len(slow.copies) == 1


def test_after_silence_the_other_peer_gets_the_second_copy(tmp_path: Path) -> None:
    def two(port: int) -> list[Peer]:
        return [Peer(name="first", host=DEAD_AT, port=port, priority=20), *peers(port)]

    with (
        message_bench(tmp_path, lambda: NOWHERE, two) as voice,
        Gateway(voice.platform.config) as gateway,
        Slow((DEAD_AT, voice.callee[1]), lambda n: None) as first,
        Slow(voice.callee, lambda n: (0, "200 OK")) as second,
    ):
        made = outgoing("hi", voice.number(), B)
        with pytest.raises(InDoubt):
            gateway.submit(made)
        assert (len(first.copies), len(second.copies)) == (1, 0)
        assert gateway.submit(made) == ""
        assert (len(first.copies), len(second.copies)) == (1, 1)


async def test_a_peer_that_never_answers_gets_two_copies_and_one_that_answers_late_gets_one(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """The first message ends unknown, the second as delivered; the sender hears of both ends."""
    with message_bench(tmp_path, database) as voice:
        x = voice.number()
        with psycopg.connect(voice.dsn, autocommit=True) as conn:
            add_route(conn, voice.keyring, dialled=x, caller=A, callee=B)
        async with peer() as (carrier, port):
            config = voice.platform.config
            link = MessageLink("one", protocol="smpp", host="127.0.0.1", port=port, window=16, priority=-1)
            changes = {"links": [link], "pair_per_minute": 0, "number_per_minute": 0}
            messaging = structs.replace(config.messaging, **changes)
            gateway = WholeGateway(structs.replace(config, messaging=messaging), {**LINKS, **FACTORIES})
            stop = asyncio.Event()
            late = {1: (12.0, "200 OK")}
            with Slow(voice.callee, late.get) as slow:
                task = asyncio.create_task(gateway.run(stop))
                try:
                    await carrier.connected()
                    await until(lambda: {one.state for one in gateway.stats().links} == {"up"})
                    settled = await carrier.send("r1", A.national, str(x), text_part("1"), wants_receipt=True)
                    await until(lambda: slow.copies)
                    silent = await carrier.send("r2", A.national, str(x), text_part("2"), wants_receipt=True)
                    wanted = {settled["id"]: "delivered", silent["id"]: "unknown"}
                    await until(lambda: states(voice.dsn) == wanted, 150)
                    assert sorted(text[-1] for text in slow.copies.values()) == ["1", "2", "2"]
                    await until(lambda: len(carrier.reports) == 2)
                    told = {report["ref"]: report["state"] for report in carrier.reports}
                    assert told == {"r1": "delivered", "r2": "unknown"}
                    assert gateway.stats().losses["messages_unanswered"] == 1
                finally:
                    stop.set()
                    await task
