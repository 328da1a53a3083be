"""What a peer that misbehaves can do to others: nothing."""

import asyncio
import socket
from pathlib import Path

import pytest

from qibai.messaging.link import LinkState, NotNow
from qibai.messaging.smpp.status import Status
from qibai.messaging.smpp.wire import MAX_PDU, Command, pdu, write_bind
from qibai.messaging.stream import server as server_module
from qibai.messaging.stream import session as session_module
from smpp_raw import BIND, ENQUIRE, SUBMIT, raw
from smpp_tools import A, Inbox, X, eventually, listening, outgoing, password, running, server

NACK = 0x8000_0000
BOUND, SUBMITTED = Command.BIND_TRANSCEIVER | NACK, Command.SUBMIT_SM | NACK


async def test_who_does_not_bind_in_time_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "BIND_S", 0.2)
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made), bound=True) as good:
        async with raw(made.port) as idle:
            assert await idle.read() == (0, 0, 0)
        good.send(ENQUIRE)
        assert await good.until(Command.ENQUIRE_LINK | NACK) == 0


async def test_one_address_cannot_hold_many_connections_that_did_not_bind(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links):
        port = await listening(made)
        idle = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(server_module.MAX_UNBOUND_OF_ONE)
        ]
        async with raw(port) as late:
            assert await late.read() == (0, 0, 0)
        idle[0][1].write(BIND)  # one binds, and leaves room for another
        await idle[0][0].readexactly(16)
        async with raw(port, bound=True):
            pass
        for _reader, writer in idle:
            writer.close()


async def test_a_connection_has_one_try_at_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REFUSAL_S", 0.2)
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made)) as guessing:
        guesses = [write_bind(Command.BIND_TRANSCEIVER, "peer", guess) for guess in ("a", "b", "c")]
        guessing.send(*guesses, BIND)
        statuses = [await guessing.until(BOUND) for _ in range(4)]
        assert statuses == [Status.RALYBND] * 3 + [Status.RBINDFAIL]
        assert await guessing.read() == (0, 0, 0)


async def test_an_address_that_no_account_allows_is_turned_away_at_once(tmp_path: Path) -> None:
    made = server(tmp_path, {"sources": ["192.0.2.1", "2001:db8::/32"]})
    async with running(*made.links), raw(await listening(made)) as stranger:
        assert await stranger.read() == (0, 0, 0)


@pytest.mark.parametrize("length", [0, 15, MAX_PDU + 1, 0x47455420, 0xFFFFFFFF])
async def test_garbage_ends_its_connection_and_no_other(tmp_path: Path, length: int) -> None:
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made), bound=True) as good:
        async with raw(made.port, bound=True) as bad:
            bad.send(length.to_bytes(4, "big") + b"/ HTTP/1.1\r\n\r\n")
            assert await bad.read() == (NACK, Status.RINVCMDLEN, 0)
            assert await bad.read() == (0, 0, 0)
        good.send(SUBMIT)
        assert await good.until(SUBMITTED) == 0


async def test_what_cannot_be_read_is_answered_and_the_connection_goes_on(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, raw(await listening(made), bound=True) as peer:
        peer.send(
            pdu(0x77, 5),
            pdu(0x80000077, 6),
            pdu(Command.SUBMIT_SM, 7),
            pdu(Command.SUBMIT_SM, 8, b"\xff" * 99),
        )
        assert await peer.read() == (NACK, Status.RINVCMDID, 5)
        assert await peer.read() == (SUBMITTED, Status.RINVPARLEN, 7)
        assert await peer.read() == (SUBMITTED, Status.RINVPARLEN, 8)
        assert inbox.messages == []
        peer.send(*(bytes([octet]) for octet in SUBMIT))
        assert await peer.until(SUBMITTED) == 0


async def test_an_answer_to_something_else_is_no_answer(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link), raw(await listening(made), bound=True) as peer:
        submitting = asyncio.create_task(link.submit(outgoing("hi")))
        _command, _status, sequence = await peer.read()
        peer.send(
            pdu(Command.ENQUIRE_LINK | NACK, sequence), pdu(Command.SUBMIT_SM | NACK, sequence), ENQUIRE
        )
        assert await peer.until(Command.ENQUIRE_LINK | NACK) == 0
        assert not submitting.done()
        peer.send(pdu(NACK, sequence, status=Status.RTHROTTLED))
        with pytest.raises(NotNow):
            await submitting


async def test_more_at_once_than_can_wait_is_throttled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MAX_WAITING", 5)
    made = server(tmp_path)
    inbox = Inbox(gate=asyncio.Event())
    async with running(*made.links, inbox=inbox), raw(await listening(made), bound=True) as peer:
        peer.send(SUBMIT * 7)
        assert [await peer.until(SUBMITTED) for _ in range(2)] == [Status.RTHROTTLED] * 2
        assert inbox.gate is not None
        inbox.gate.set()
        assert [await peer.until(SUBMITTED) for _ in range(5)] == [0] * 5
        peer.send(SUBMIT)
        assert await peer.until(SUBMITTED) == 0


async def test_a_peer_that_does_not_read_is_not_read_either(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made), bound=True) as good:
        with socket.create_connection(("127.0.0.1", made.port)) as deaf:
            deaf.sendall(BIND)
            deaf.setblocking(False)
            taken, stalled = 0, 0
            while stalled < 50:  # answers of others without room for one more octet of this one
                try:
                    taken += deaf.send(ENQUIRE * 4096)
                    stalled = 0
                except BlockingIOError:
                    stalled += 1
                    good.send(ENQUIRE)
                    assert await good.until(Command.ENQUIRE_LINK | NACK) == 0
            assert taken < 64 << 20  # the system's buffers and ours, whatever it would send
    assert made.links[0].status().state is LinkState.DOWN


async def test_a_password_file_that_is_missing_or_empty_lets_nobody_in(tmp_path: Path) -> None:
    missing = {"name": "missing", "account": "missing", "password_file": str(tmp_path / "none")}
    empty = {"name": "empty", "account": "empty", "password_file": password(tmp_path, "")}
    made = server(tmp_path, missing, empty)
    async with running(*made.links):
        port = await listening(made)
        for account in ("missing", "empty"):
            async with raw(port) as peer:
                peer.send(write_bind(Command.BIND_TRANSCEIVER, account, ""))
                assert await peer.until(BOUND) == Status.RBINDFAIL


async def test_logs_hold_no_number_and_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = server(tmp_path)
    async with running(*made.links), raw(await listening(made), bound=True) as peer:
        peer.send(SUBMIT, pdu(Command.SUBMIT_SM, 9, SUBMIT[16:-3]))
        await peer.until(SUBMITTED)
        await peer.until(SUBMITTED)
        async with raw(made.port) as guessing:
            guessing.send(write_bind(Command.BIND_TRANSCEIVER, A[3:], "guess-this"))
            await guessing.until(BOUND)
        await eventually(lambda: made.links[0].status().received)
    out, err = capsys.readouterr()
    for secret in (A[3:], X, "guess-this", "secret"):
        assert secret not in out + err
