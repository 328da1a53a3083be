"""Any octets into a live session of either role: it neither crashes nor stalls the link."""

import asyncio
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from smpp_checks import check
from smpp_samples import MESSAGES, OTHERS

from qibai.messaging.smpp import SmppClient
from qibai.messaging.smpp.wire import Command, cstring, frames, pdu
from qibai.messaging.stream import client as client_module
from qibai.messaging.stream import server as server_module
from smpp_raw import SUBMIT, raw
from smpp_tools import Inbox, client, eventually, listening, outgoing, running, server

NACK = 0x8000_0000


@st.composite
def _spoiled(draw: st.DrawFn) -> bytes:
    """A PDU with some octets changed, cut or doubled; its length may be made right again."""
    frame = bytearray(draw(st.sampled_from(MESSAGES + OTHERS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(frame) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                frame[at] = draw(st.integers(0, 255))
            case 1:
                del frame[at : at + draw(st.integers(1, 8))]
            case _:
                frame[at:at] = frame[at : at + draw(st.integers(1, 8))]
        if len(frame) < 16:
            frame.extend(bytes(16 - len(frame)))
    if draw(st.booleans()):
        frame[:4] = len(frame).to_bytes(4, "big")
    return bytes(frame)


STREAMS = st.lists(st.one_of(_spoiled(), st.binary(max_size=64)), min_size=1, max_size=12).map(b"".join)
LIVE = settings(max_examples=150)


@given(STREAMS)
@settings(max_examples=500)
def test_nothing_but_a_bad_pdu_comes_of_it(data: bytes) -> None:
    check(data)


def test_a_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REFUSAL_S", 0.0)

    async def feed(port: int, data: bytes, bound: bool, size: int) -> None:
        with suppress(ConnectionError):
            async with raw(port, bound=bound) as bad:
                for at in range(0, len(data), size):
                    bad.send(data[at : at + size])
                    await bad.writer.drain()
                async with raw(port, bound=True) as good:
                    good.send(SUBMIT)
                    assert await good.until(Command.SUBMIT_SM | NACK) == 0

    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        stack, made = AsyncExitStack(), server(Path(folder), {"sessions": 1000})
        inbox = runner.run(stack.enter_async_context(running(*made.links)))
        port = runner.run(listening(made))

        @given(STREAMS, st.booleans(), st.sampled_from([1, 7, 10_000]))
        @LIVE
        def streams(data: bytes, bound: bool, size: int) -> None:
            runner.run(feed(port, data, bound, size))

        try:
            streams()
            assert inbox.messages
            runner.run(eventually(lambda: made.links[0].status().sessions == 0))
        finally:
            runner.run(stack.aclose())


@dataclass
class _Centre:
    """A message centre that binds anybody, says ``data`` once, hangs up, and then behaves."""

    data: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        while chunk := await reader.read(4096):
            buffer += chunk
            for frame in frames(buffer):
                command, sequence = (int.from_bytes(frame[at : at + 4], "big") for at in (4, 12))
                if not command & NACK:
                    writer.write(pdu(command | NACK, sequence, cstring("00a1")))
                if command == Command.BIND_TRANSCEIVER and self.data:
                    writer.write(self.data)
                    self.data = b""
                    writer.close()
                    return
        writer.close()


def test_a_client_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_WAIT_S", 0.001)
    centre = _Centre()

    async def start(stack: AsyncExitStack, folder: Path) -> tuple[SmppClient, Inbox]:
        listener = await stack.enter_async_context(await asyncio.start_server(centre.serve, "127.0.0.1"))
        link = client(folder, listener.sockets[0].getsockname()[1], answer_s=5)
        return link, await stack.enter_async_context(running(link))

    async def feed(link: SmppClient, data: bytes) -> None:
        await eventually(lambda: link.can_send)
        centre.data = data
        link.sessions[0].abort("by the test")
        await eventually(lambda: not centre.data)  # it has bound again and was told all that
        await eventually(lambda: link.can_send)
        with suppress(Exception):  # it may still be the connection that is about to end
            await link.submit(outgoing("hi"))
        await eventually(lambda: link.can_send)

    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        stack = AsyncExitStack()
        link, inbox = runner.run(start(stack, Path(folder)))

        @given(STREAMS)
        @example(b"".join(MESSAGES + OTHERS))
        @LIVE
        def streams(data: bytes) -> None:
            runner.run(feed(link, data))

        try:
            streams()
            assert inbox.messages and (inbox.receipts or inbox.unknown)
            assert runner.run(link.submit(outgoing("hi"))) == "a1"  # as it is kept: without leading zeros
        finally:
            runner.run(stack.aclose())
