"""Our side as a service provider, connected to gateways that the tests write octet by octet."""

import asyncio
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cmpp_tools import client
from qibai.core.errors import StoreUnavailable
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import Encoding, decode, split
from qibai.messaging.link import InDoubt, LinkState, NotNow, Receipt, Rejected, Report
from qibai.messaging.stream import client as client_module
from qibai.testing.cmpp import (
    ACTIVE_TEST,
    CONNECT,
    DELIVER,
    RESP,
    SUBMIT,
    TERMINATE,
    ismg,
    report,
    result,
    write,
)
from smpp_tools import A, B, Inbox, X, eventually, outgoing, running

BOTH = pytest.mark.parametrize("version", [2, 3])


def deliver(version: int, content: bytes = b"Hello", **fields: object) -> bytes:
    given = {"Msg_Id": 0xB1, "Src_terminal_Id": A[3:], "Dest_Id": X, "Msg_Content": content}
    return write(DELIVER, version, given | fields)


def pinned(version: int) -> str:
    return f"{version}.0"


@BOTH
@pytest.mark.parametrize(
    ("text", "msg_fmt", "spelled"),
    [
        ("Hello @_{}$", 0, "ascii"),
        ("你好，请下楼", 8, "utf-16-be"),
        ("é€", 8, "utf-16-be"),
        ("😀", 8, "utf-16-be"),
    ],
)
async def test_a_text_is_submitted_and_its_report_comes_back(
    tmp_path: Path, version: int, text: str, msg_fmt: int, spelled: str
) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port, version=pinned(version), fee_type="02", fee_code="000010")
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            ref = await link.submit(outgoing(text))
            (got,) = gateway.submits
            assert got["Msg_Content"].decode(spelled) == text
            assert (got["Src_Id"], got["Dest_terminal_Id"], got["DestUsr_tl"]) == (X, B[3:], 1)
            assert (got["Msg_Fmt"], got["TP_udhi"], got["TP_pId"]) == (msg_fmt, 0, 0)
            assert (got["Pk_total"], got["Pk_number"], got["Registered_Delivery"]) == (1, 1, 1)
            assert (got["Msg_src"], got["Service_Id"]) == ("901234", "QIBAI")
            assert (got["Fee_UserType"], got["FeeType"], got["FeeCode"]) == (2, "02", "000010")
            empty = ("Fee_terminal_Id", "At_Time", "LinkID", "Reserve", "Msg_Id")
            assert not any(got.get(name) for name in empty)
            assert got["ValId_Time"].endswith("032+")  # tenths, and Beijing's 32 quarters of an hour
            until = datetime.strptime(got["ValId_Time"][:12] + "+0800", "%y%m%d%H%M%S%z")
            left = until - datetime.now(UTC)
            assert timedelta(minutes=9) < left <= timedelta(minutes=10)

            inbox.refs.add(ref)
            content = report(version, got["given"], "DELIVRD", B[3:])
            told = {"Registered_Delivery": 1, "Src_terminal_Id": B[3:], "Msg_Content": content}
            answer = await gateway.peer.ask(DELIVER, deliver(version, **told))
            assert answer == struct.pack(">Q", 0xB1) + result(version, 0)
            assert [(r.ref, r.state) for r in inbox.receipts] == [(ref, MessageState.DELIVERED)]
            assert not inbox.messages


@BOTH
async def test_a_delivered_message_is_answered_once_it_is_kept(tmp_path: Path, version: int) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port, version=pinned(version))
        inbox = Inbox(gate=asyncio.Event())
        async with running(link, inbox=inbox):
            await eventually(lambda: link.can_send)
            content = "取件码".encode("gbk")
            number = gateway.peer.send(DELIVER, deliver(version, content, Msg_Fmt=15))
            await eventually(lambda: inbox.messages)
            assert await gateway.peer.ask(ACTIVE_TEST) == b"\0"  # others go on meanwhile
            assert not [command for command, _, _ in gateway.peer.got if command == DELIVER | RESP]
            assert inbox.gate is not None
            inbox.gate.set()
            answer = await gateway.peer.expect(DELIVER | RESP, sequence=number)
            assert answer == struct.pack(">Q", 0xB1) + result(version, 0)
        (received,) = inbox.messages
        assert (received.source, received.destination, decode(received.part)) == (A[3:], X, "取件码")


async def test_a_message_delivered_again_has_the_same_ref_and_parts_have_their_own(tmp_path: Path) -> None:
    msg_id = datetime.now(ZoneInfo("Asia/Shanghai")).month << 60 | 7
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            for _ in range(2):
                await gateway.peer.ask(DELIVER, deliver(3, Msg_Id=msg_id))
            for part in split("很长的短信" * 30, Encoding.UCS2, ref=9):
                assert part.concat is not None
                header = bytes((5, 0, 3, 9, part.concat.total, part.concat.seq))
                fields = {"Msg_Id": msg_id + 1, "TP_udhi": 1, "Msg_Fmt": 8}
                await gateway.peer.ask(DELIVER, deliver(3, header + part.data, **fields))
            for _ in range(2):
                await gateway.peer.ask(DELIVER, deliver(3, Msg_Id=0))  # names none: two messages
    refs = [received.ref for received in inbox.messages]
    assert refs[0] == refs[1]
    assert len(set(refs)) == len(refs) - 1


@pytest.mark.parametrize("reason", list(MessageReason))
async def test_every_reason_has_a_result_that_a_deliver_knows(tmp_path: Path, reason: MessageReason) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link, inbox=Inbox(refuse=reason)):
            await eventually(lambda: link.can_send)
            answer = await gateway.peer.ask(DELIVER, deliver(3))
    got = int.from_bytes(answer[8:], "big")
    assert answer[:8] == struct.pack(">Q", 0xB1)
    assert (got == 8) == reason.is_temporary and 0 < got <= 9


@pytest.mark.parametrize(
    ("stat", "state", "error"),
    [
        ("DELIVRD", MessageState.DELIVERED, ""),
        ("EXPIRED", MessageState.EXPIRED, ""),
        ("DELETED", MessageState.REJECTED, ""),
        ("UNDELIV", MessageState.REJECTED, ""),
        ("REJECTD", MessageState.REJECTED, ""),
        ("UNKNOWN", MessageState.UNKNOWN, ""),
        ("MA:0001", MessageState.REJECTED, "MA0001"),
        ("CB:0023", MessageState.REJECTED, "CB0023"),
        ("ACCEPTD", None, ""),
    ],
)
async def test_reports_of_all_kinds(
    tmp_path: Path, stat: str, state: MessageState | None, error: str
) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            inbox.refs.add(await link.submit(outgoing("hi")))
            content = report(3, gateway.submits[0]["given"], stat, B[3:])
            answer = await gateway.peer.ask(DELIVER, deliver(3, content, Registered_Delivery=1))
            assert answer[8:] == result(3, 0)
            found = [(receipt.state, receipt.error) for receipt in inbox.receipts]
            assert found == ([] if state is None else [(state, error)])


async def test_a_report_that_is_not_kept_is_not_acknowledged(tmp_path: Path) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            inbox.fails = StoreUnavailable("down")
            content = report(3, 1, "DELIVRD", B[3:])
            body = deliver(3, content, Registered_Delivery=1)
            assert (await gateway.peer.ask(DELIVER, body))[8:] == result(3, 8)
            inbox.fails = None
            assert (await gateway.peer.ask(DELIVER, body))[8:] == result(3, 0)
            assert len(inbox.unknown) == 1


async def test_a_report_may_overtake_the_answer(tmp_path: Path) -> None:
    msg_id = 0x5A00000000000001
    async with ismg(answers=[None]) as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            inbox.refs.add(f"{msg_id:016x}")
            waiting = asyncio.create_task(link.submit(outgoing("hi")))
            await gateway.peer.expect(SUBMIT)
            (sequence,) = [number for command, number, _ in gateway.peer.got if command == SUBMIT]
            body = deliver(3, report(3, msg_id, "DELIVRD", ""), Registered_Delivery=1)
            assert (await gateway.peer.ask(DELIVER, body))[8:] == result(3, 0)
            assert [receipt.ref for receipt in inbox.receipts] == [f"{msg_id:016x}"]
            gateway.peer.send(SUBMIT | RESP, struct.pack(">QI", msg_id, 0), sequence)
            assert await waiting == f"{msg_id:016x}"


@BOTH
async def test_a_result_says_later_or_never_and_silence_leaves_doubt(tmp_path: Path, version: int) -> None:
    async with ismg(answers=[8, 1, 5, None]) as gateway:
        link = client(tmp_path, gateway.port, version=pinned(version), answer_s=1)
        async with running(link):
            await eventually(lambda: link.can_send)
            with pytest.raises(NotNow) as throttled:
                await link.submit(outgoing("hi"))
            assert throttled.value.retry_after_s and not throttled.value.link_down
            for error in ("1", "5"):
                with pytest.raises(Rejected) as never:
                    await link.submit(outgoing("hi"))
                assert never.value.error == error
            with pytest.raises(InDoubt):
                await link.submit(outgoing("hi"))
            assert await link.submit(outgoing("hi"))
            assert len(gateway.submits) == 5  # none was sent twice by the link
            assert link.status().refused == 3


async def test_the_window_is_kept(tmp_path: Path) -> None:
    async with ismg(answers=[None] * 5) as gateway:
        link = client(tmp_path, gateway.port, window=5)
        async with running(link):
            await eventually(lambda: link.can_send)
            waiting = [asyncio.create_task(link.submit(outgoing("hi"))) for _ in range(12)]
            await eventually(lambda: len(gateway.submits) == 5)
            assert await gateway.peer.ask(ACTIVE_TEST) == b"\0"  # whatever was to come has come
            assert len(gateway.submits) == 5 and link.status().in_flight == 5
            sequences = [number for command, number, _ in gateway.peer.got if command == SUBMIT]
            for number in sequences:
                gateway.peer.send(SUBMIT | RESP, struct.pack(">QI", number, 0), number)
            refs = await asyncio.gather(*waiting)
            assert len(set(refs)) == 12 and len(gateway.submits) == 12


async def test_a_lost_connection_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_WAIT_S", 0.01)
    async with ismg(answers=[None]) as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link):
            await eventually(lambda: link.can_send)
            waiting = asyncio.create_task(link.submit(outgoing("hi")))
            await eventually(lambda: gateway.submits)
            gateway.peer.writer.close()
            with pytest.raises(InDoubt):
                await waiting
            await eventually(lambda: gateway.connects == 2 and link.can_send)
            assert await link.submit(outgoing("hi"))
        assert link.status().state is LinkState.DOWN
        assert [command for command, _, _ in gateway.peer.got][-1] == TERMINATE  # it left in order


async def test_without_a_gateway_nothing_is_taken(tmp_path: Path) -> None:
    async with ismg() as gateway:
        port = gateway.port
    link = client(tmp_path, port)
    async with running(link):
        await eventually(lambda: link.status().error)
        with pytest.raises(NotNow) as down:
            await link.submit(outgoing("hi"))
        assert down.value.link_down


async def test_a_gateway_of_2_0_is_spoken_to_in_2_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_WAIT_S", 0.01)
    async with ismg(highest=0x20) as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link):
            await eventually(lambda: link.can_send)
            assert await link.submit(outgoing("hi"))
            assert gateway.connects == 2 and gateway.peer.version == 2
            assert "Reserve" in gateway.submits[0]


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"secret": "other"}, "clocks"), ({"forged": True}, "does not know the shared secret")],
)
async def test_a_gateway_and_we_have_to_share_the_secret(
    tmp_path: Path, fields: dict[str, str], why: str
) -> None:
    async with ismg(**fields) as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link):
            await eventually(lambda: why in link.status().error)
            assert not link.can_send


async def test_a_silent_gateway_is_asked_three_times_and_then_left(tmp_path: Path) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port, enquire_s=1, answer_s=1)
        async with running(link):
            await eventually(lambda: link.can_send)
            await gateway.peer.expect(ACTIVE_TEST)
            assert link.can_send
            first = gateway.peer
            before = [command for command, _, _ in first.got].count(ACTIVE_TEST)
            gateway.deaf = True
            await first.end()
            asked = [command for command, _, _ in first.got].count(ACTIVE_TEST) - before
            assert asked in (3, 4)  # the first may have been answered just before
            gateway.deaf = False
            await eventually(lambda: link.can_send)


async def test_a_gateway_that_leaves_is_answered_and_what_it_asks_else_refused(tmp_path: Path) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link):
            await eventually(lambda: link.can_send)
            first = gateway.peer
            assert await first.ask(SUBMIT, bytes(200)) == bytes(8) + result(3, 2)
            assert await first.ask(0x77) == result(3, 2)
            assert (await first.ask(CONNECT))[:4] == result(3, 2)
            assert await first.ask(TERMINATE) == b""
            await first.end()


async def test_reports_do_not_go_to_a_gateway(tmp_path: Path) -> None:
    link = client(tmp_path, 1)
    now = datetime.now(UTC)
    with pytest.raises(Rejected):
        await link.report(Report(Receipt("1", MessageState.DELIVERED, now), X, A, now))
