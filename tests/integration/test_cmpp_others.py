"""Our side as an ISMG for service providers that nobody here wrote: `cmppy` in 3.0, `pycmpp` in 2.x."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cmpp_tools import listening, server
from qibai.core.messages import MessageReason
from qibai.core.text import decode, join
from qibai.messaging.link import InDoubt
from qibai.testing.cmpp import ACCOUNT, SECRET
from smpp_tools import A, Inbox, X, eventually, outgoing, running

PEER = Path(__file__).parents[1] / "peers" / "cmpp_sp.py"


class Provider:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())

    def submit(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(text).encode() + b"\n")

    async def says(self, what: str, count: int = 1) -> str:
        def found() -> list[str]:
            return [line for line in self.lines if what in line]

        try:
            await eventually(lambda: len(found()) >= count)
        except TimeoutError:
            raise AssertionError(f"not {what}: {self.lines}") from None
        return found()[count - 1]


@contextlib.asynccontextmanager
async def provider(kind: str, port: int, *, secret: str = SECRET) -> AsyncIterator[Provider]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PEER),
        kind,
        str(port),
        ACCOUNT,
        secret,
        A[3:],
        X,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"TZ": "Asia/Shanghai", "PYTHONUNBUFFERED": "1"},  # where its clock is
    )
    try:
        yield Provider(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_cmppy_submits_in_3_0(tmp_path: Path) -> None:
    made = server(tmp_path)
    inbox = Inbox()
    async with running(*made.links, inbox=inbox), provider("cmppy", await listening(made)) as peer:
        peer.submit("你好，hello")
        answer = await peer.says("answer")
        (received,) = inbox.messages
        assert answer == f"answer 0 {int(received.ref[-16:], 16)}\n"
        assert (received.source, received.destination, received.wants_receipt) == (A[3:], X, True)
        assert decode(received.part) == "你好，hello"
        inbox.refuse = MessageReason.NOT_BOUND
        peer.submit("again")
        await peer.says("answer 13 0")
        await eventually(lambda: not made.links[0].sessions)  # it left in order


async def test_cmppy_with_another_secret_is_not_let_in(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, provider("cmppy", await listening(made), secret="x") as peer:
        peer.submit("hi")
        await peer.says("answer none")
        assert inbox.messages == []


async def test_pycmpp_submits_in_2_x(tmp_path: Path) -> None:
    made = server(tmp_path, {"enquire_s": 1})
    inbox = Inbox()
    async with running(*made.links, inbox=inbox), provider("pycmpp", await listening(made)) as peer:
        await peer.says("短信网关连接成功")
        peer.submit("你好，hello")
        await peer.says("发送成功")
        (received,) = inbox.messages
        assert (received.source, received.destination) == (A[3:], X)
        assert decode(received.part) == "你好，hello"

        long = "很长的短信，" * 40
        peer.submit(long)
        parts = -(-len(long) // 64)
        await peer.says("发送成功", 1 + parts)
        assert decode(join([received.part for received in inbox.messages[1:]])) == long

        inbox.refuse = MessageReason.OVERLOADED
        peer.submit("once more")
        assert "流量控制错" in await peer.says("发送失败")
        await peer.says("heartbeat")  # it asks whether we live


async def test_pycmpp_takes_no_messages_and_that_leaves_doubt(tmp_path: Path) -> None:
    made = server(tmp_path, {"answer_s": 1})
    (link,) = made.links
    async with running(link), provider("pycmpp", await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        with pytest.raises(InDoubt):
            await link.submit(outgoing("hi"))
        await peer.says("0x5")  # a Deliver, which it leaves without an answer
        assert link.can_send
