"""What a CMPP peer that misbehaves can do to others: nothing."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from cmpp_raw import ACTIVE, raw, submit
from cmpp_tools import listening, server
from qibai.messaging.cmpp.wire import MAX_PDU, pdu
from qibai.messaging.stream import server as server_module
from qibai.messaging.stream import session as session_module
from qibai.testing.cmpp import ACTIVE_TEST, CONNECT, SUBMIT, connect
from smpp_tools import A, Inbox, X, eventually, running

FLOW = (8).to_bytes(4, "big")


@pytest.mark.parametrize("length", [0, 11, MAX_PDU + 1, 0x47455420, 0xFFFFFFFF])
async def test_garbage_ends_its_connection_and_no_other(tmp_path: Path, length: int) -> None:
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made), bound=True) as good:
        async with raw(made.port, bound=True) as bad:
            bad.send(length.to_bytes(4, "big") + b"/ HTTP/1.1\r\n\r\n")
            assert await bad.read() == (0, 0, b"")
        good.send(submit(2))
        assert (await good.until(SUBMIT))[8:] == bytes(4)


async def test_a_submit_may_come_octet_by_octet_or_many_at_once(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, raw(await listening(made), bound=True) as peer:
        for octet in submit(2):
            peer.send(bytes((octet,)))
            await peer.writer.drain()
        peer.send(b"".join(submit(number) for number in range(3, 53)))
        for _ in range(51):
            assert (await peer.until(SUBMIT))[8:] == bytes(4)
        assert len({received.ref for received in inbox.messages}) == 51


async def test_more_at_once_than_can_wait_is_flow_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MAX_WAITING", 5)
    made = server(tmp_path)
    inbox = Inbox(gate=asyncio.Event())
    async with running(*made.links, inbox=inbox), raw(await listening(made), bound=True) as peer:
        peer.send(*(submit(number) for number in range(7)))
        assert [(await peer.until(SUBMIT))[8:] for _ in range(2)] == [FLOW] * 2
        assert inbox.gate is not None
        inbox.gate.set()
        assert [(await peer.until(SUBMIT))[8:] for _ in range(5)] == [bytes(4)] * 5
        peer.send(submit(7))
        assert (await peer.until(SUBMIT))[8:] == bytes(4)


async def test_a_peer_that_does_not_read_is_not_read_either(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made), bound=True) as good:
        with socket.create_connection(("127.0.0.1", made.port)) as deaf:
            deaf.sendall(pdu(CONNECT, 1, connect(3)))
            deaf.setblocking(False)
            taken, stalled = 0, 0
            while stalled < 50:  # answers of others without room for one more octet of this one
                try:
                    taken += deaf.send(ACTIVE * 4096)
                    stalled = 0
                except BlockingIOError:
                    stalled += 1
                    good.send(ACTIVE)
                    assert await good.until(ACTIVE_TEST) == b"\0"
            assert taken < 64 << 20  # the system's buffers and ours, whatever it would send


async def test_one_address_cannot_hold_many_connections_and_has_one_try_each(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links):
        port = await listening(made)
        idle = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(server_module.MAX_UNBOUND_OF_ONE)
        ]
        async with raw(port) as late:
            assert await late.read() == (0, 0, b"")
        idle[0][1].write(pdu(CONNECT, 1, connect(3)))  # one connects, and leaves room for another
        await idle[0][0].readexactly(33)
        async with raw(port) as guessing:
            guessing.send(pdu(CONNECT, 1, connect(3, secret="guess")), pdu(CONNECT, 2, connect(3)))
            second = await guessing.read()
            assert second[1:] == (2, (5).to_bytes(4, "big") + bytes(16) + b"\x30")
            first = await guessing.read()
            assert first[1] == 1 and first[2][:4] == (3).to_bytes(4, "big")
            assert await guessing.read() == (0, 0, b"")
        for _reader, writer in idle:
            writer.close()


async def test_logs_hold_no_number_no_text_and_no_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made), bound=True) as peer:
        peer.send(submit(2), submit(3)[:-1])  # the second is an octet short
        await peer.until(SUBMIT)
        async with raw(made.port) as guessing:
            guessing.send(pdu(CONNECT, 1, connect(3, account=A[3:9], secret="guess-this")))
            await guessing.until(CONNECT)
        await eventually(lambda: made.links[0].status().received)
    out, err = capfd.readouterr()
    for secret in (A[3:], X, "guess-this", "secret"):
        assert secret not in out + err + caplog.text
