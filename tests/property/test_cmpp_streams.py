"""Any octets into a live session of either role: it neither crashes nor stalls the link."""

import asyncio
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cmpp_checks import check
from cmpp_samples import MESSAGES, OTHERS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmpp_raw import raw, submit
from cmpp_tools import client, listening, server
from qibai.messaging.cmpp import CmppClient
from qibai.messaging.cmpp.pdu import (
    Deliver,
    StatusReport,
    Submit,
    read_deliver,
    read_report,
    read_submit,
    write_deliver,
    write_report,
    write_submit,
)
from qibai.messaging.cmpp.wire import V2, V3, frames, pdu
from qibai.messaging.stream import client as client_module
from qibai.messaging.stream import server as server_module
from qibai.testing.cmpp import CONNECT, RESP, SUBMIT, Ismg
from smpp_tools import Inbox, eventually, outgoing, running


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
        if len(frame) < 12:
            frame.extend(bytes(12 - len(frame)))
    if draw(st.booleans()):
        frame[:4] = len(frame).to_bytes(4, "big")
    return bytes(frame)


STREAMS = st.lists(st.one_of(_spoiled(), st.binary(max_size=64)), min_size=1, max_size=12).map(b"".join)
LIVE = settings(max_examples=150)

VERSIONS = st.sampled_from([V2, V3])
OCTET = st.integers(0, 255)


def _field(size: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=size)


@given(
    VERSIONS,
    st.builds(
        Submit,
        src_id=_field(21),
        dest_terminal_ids=st.lists(_field(21), min_size=1, max_size=99).map(tuple),
        content=st.binary(max_size=255),
        msg_fmt=OCTET,
        msg_id=st.integers(0, 2**64 - 1),
        pk_total=OCTET,
        pk_number=OCTET,
        registered_delivery=OCTET,
        msg_level=OCTET,
        service_id=_field(10),
        fee_user_type=OCTET,
        fee_terminal_id=_field(21),
        tp_pid=OCTET,
        tp_udhi=OCTET,
        msg_src=_field(6),
        fee_type=_field(2),
        fee_code=_field(6),
        valid_time=_field(17),
        at_time=_field(17),
        reserve=_field(8),
    ),
)
def test_any_submit_reads_as_it_was_written(version: int, made: Submit) -> None:
    octets = write_submit(made, version)
    assert read_submit(octets, version) == made
    assert list(frames(bytearray(pdu(4, 1, octets)))) == [pdu(4, 1, octets)]  # the largest, too


@given(
    VERSIONS,
    st.builds(
        Deliver,
        msg_id=st.integers(0, 2**64 - 1),
        dest_id=_field(21),
        src_terminal_id=_field(21),
        content=st.binary(max_size=255),
        msg_fmt=OCTET,
        registered_delivery=OCTET,
        service_id=_field(10),
        tp_pid=OCTET,
        tp_udhi=OCTET,
        reserve=_field(8),
    ),
)
def test_any_deliver_reads_as_it_was_written(version: int, made: Deliver) -> None:
    assert read_deliver(write_deliver(made, version), version) == made


@given(
    VERSIONS,
    st.builds(
        StatusReport,
        st.integers(0, 2**64 - 1),
        _field(7),
        _field(10),
        _field(10),
        _field(21),
        st.integers(0, 2**32 - 1),
    ),
)
def test_any_report_reads_as_it_was_written(version: int, made: StatusReport) -> None:
    assert read_report(write_report(made, version)) == made


@given(STREAMS)
@settings(max_examples=500)
def test_nothing_but_a_bad_pdu_comes_of_it(data: bytes) -> None:
    check(data)


def test_a_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REFUSAL_S", 0.0)

    async def feed(port: int, data: bytes, bound: bool, version: int, size: int) -> None:
        with suppress(ConnectionError):
            async with raw(port, bound=bound, version=version) as bad:
                for at in range(0, len(data), size):
                    bad.send(data[at : at + size])
                    await bad.writer.drain()
                async with raw(port, bound=True) as good:
                    good.send(submit(8))
                    assert (await good.until(SUBMIT))[8:] == bytes(4)

    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        stack, made = AsyncExitStack(), server(Path(folder), {"sessions": 1000})
        inbox = runner.run(stack.enter_async_context(running(*made.links)))
        port = runner.run(listening(made))

        @given(STREAMS, st.booleans(), st.sampled_from([2, 3]), st.sampled_from([1, 7, 10_000]))
        @LIVE
        def streams(data: bytes, bound: bool, version: int, size: int) -> None:
            runner.run(feed(port, data, bound, version, size))

        try:
            streams()
            assert inbox.messages
            runner.run(eventually(lambda: made.links[0].status().sessions == 0))
        finally:
            runner.run(stack.aclose())


@dataclass
class _Gateway(Ismg):
    """Says ``data`` once to the next that connects, hangs up, and then behaves."""

    data: bytes = b""

    def _auto(self, peer, command, sequence, body):  # type: ignore[no-untyped-def]
        answer = super()._auto(peer, command, sequence, body)
        if command == CONNECT and self.data and answer is not None:
            peer.send(CONNECT | RESP, answer, sequence)
            peer.writer.write(self.data)
            self.data = b""
            peer.writer.close()
            return None
        return answer


def test_a_client_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_WAIT_S", 0.001)
    gateway = _Gateway()

    async def start(stack: AsyncExitStack, folder: Path) -> tuple[CmppClient, Inbox]:
        listener = await stack.enter_async_context(await asyncio.start_server(gateway._serve, "127.0.0.1"))
        link = client(folder, listener.sockets[0].getsockname()[1], answer_s=5)
        return link, await stack.enter_async_context(running(link))

    async def feed(link: CmppClient, data: bytes) -> None:
        await eventually(lambda: link.can_send)
        gateway.data = data
        link.sessions[0].abort("by the test")
        await eventually(lambda: not gateway.data)  # it has connected again and was told all that
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
            assert runner.run(link.submit(outgoing("hi")))
        finally:
            runner.run(stack.aclose())
