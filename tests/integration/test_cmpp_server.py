"""Our side as an ISMG, for service providers that the tests write octet by octet."""

import asyncio
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cmpp_tools import client, listening, server
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import Encoding, Part, decode, split
from qibai.messaging.link import InDoubt, LinkState, NotNow, Receipt, Rejected, Report
from qibai.testing.cmpp import (
    ACTIVE_TEST,
    CANCEL,
    CONNECT,
    DELIVER,
    QUERY,
    RESP,
    SUBMIT,
    TERMINATE,
    connect,
    md5,
    result,
    sp,
    write,
)
from smpp_tools import A, B, Inbox, X, eventually, outgoing, password, running
from tls_tools import make_certificate

BOTH = pytest.mark.parametrize("version", [2, 3])
OVER = f"{datetime.now(UTC) - timedelta(days=1):%y%m%d%H%M%S}000+"


def submit(version: int, content: bytes = b"Hello", **fields: object) -> bytes:
    given = {"Src_Id": A[3:], "Dest_terminal_Id": X, "Msg_Content": content, "Registered_Delivery": 1}
    return write(SUBMIT, version, given | fields)


def _report(ref: str, state: MessageState, error: str = "") -> Report:
    return Report(Receipt(ref, state, datetime.now(UTC), error), X, A, datetime.now(UTC))


@BOTH
async def test_a_submitted_message_gets_an_id_and_later_its_report(tmp_path: Path, version: int) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link) as inbox, sp(await listening(made), version) as peer:
        answer = await peer.ask(SUBMIT, submit(version))
        assert answer[8:] == result(version, 0)
        (received,) = inbox.messages
        assert (received.source, received.destination, received.wants_receipt) == (A[3:], X, True)
        assert decode(received.part) == "Hello"
        now = datetime.now(ZoneInfo("Asia/Shanghai"))
        assert answer[0] >> 4 == now.month and int.from_bytes(answer[:2], "big") >> 7 & 31 == now.day

        await link.report(_report(received.ref, MessageState.DELIVERED))
        await link.report(_report(received.ref, MessageState.REJECTED, "MA0001"))
        delivered, refused = peer.delivered()
        assert delivered["Registered_Delivery"] == 1
        assert (delivered["Dest_Id"], delivered["Src_terminal_Id"]) == (A[3:], X)
        size = 32 if version == 3 else 21
        layout = struct.Struct(f">8s7s10s10s{size}sI")
        msg_id, stat, submitted, done, dest, _sequence = layout.unpack(delivered["Msg_Content"])
        assert (msg_id, stat, dest.rstrip(b"\0").decode()) == (answer[:8], b"DELIVRD", X)
        assert submitted.isdigit() and done.isdigit()
        assert layout.unpack(refused["Msg_Content"])[1] == b"MA:0001"


@BOTH
@pytest.mark.parametrize(
    ("text", "msg_fmt"), [("Hello @_{}$", 0), ("你好，请在十分钟后下楼", 8), ("😀", 8), ("Größe €", 8)]
)
async def test_a_text_is_delivered_to_the_peer(tmp_path: Path, version: int, text: str, msg_fmt: int) -> None:
    made = server(tmp_path, {"number_format": "e164"})
    (link,) = made.links
    async with running(link), sp(await listening(made), version) as peer:
        await eventually(lambda: link.can_send)
        assert await link.submit(outgoing(text)) == ""  # the answer is final
        (got,) = peer.delivered()
        assert got["Msg_Content"].decode("utf-16-be" if msg_fmt else "ascii") == text
        assert (got["Msg_Fmt"], got["Registered_Delivery"], got["TP_udhi"]) == (msg_fmt, 0, 0)
        assert (got["Src_terminal_Id"], got["Dest_Id"], got["Service_Id"]) == (X, B[1:], "QIBAI")
        assert not got.get("LinkID") and not got.get("Reserve")


@pytest.mark.parametrize(
    ("content", "fields", "text"),
    [
        ("取件码 1234".encode("gbk"), {"Msg_Fmt": 15}, "取件码 1234"),
        ("取件码 1234".encode("gbk"), {"Msg_Fmt": 0}, "取件码 1234"),
        ("取件码".encode("utf-16-be"), {"Msg_Fmt": 8}, "取件码"),
        (b"a_b @ $", {"Msg_Fmt": 0}, "a_b @ $"),
        (b"a\x1b\x65 \x00", {"Msg_Fmt": 0}, "a€ @"),
    ],
)
async def test_texts_of_all_kinds_are_read(
    tmp_path: Path, content: bytes, fields: dict[str, int], text: str
) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made)) as peer:
        assert (await peer.ask(SUBMIT, submit(3, content, **fields)))[8:] == result(3, 0)
        assert decode(inbox.messages[0].part) == text


async def test_a_long_text_comes_and_goes_in_parts(tmp_path: Path) -> None:
    text = "很长的短信" * 40
    parts = split(text, Encoding.UCS2, ref=9)
    made = server(tmp_path)
    (link,) = made.links
    async with running(link) as inbox, sp(await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await asyncio.gather(*(link.submit(outgoing(part)) for part in parts))
        for got in peer.delivered():
            assert got["TP_udhi"] == 1 and got["Msg_Content"][:4] == b"\x05\x00\x03\x09"
            body = submit(
                3,
                got["Msg_Content"],
                TP_udhi=1,
                Msg_Fmt=8,
                Pk_total=len(parts),
                Pk_number=got["Msg_Content"][5],
            )
            assert (await peer.ask(SUBMIT, body))[8:] == result(3, 0)
        assert sorted((r.part for r in inbox.messages), key=lambda p: p.concat.seq) == parts  # type: ignore[union-attr]


@pytest.mark.parametrize("reason", list(MessageReason))
async def test_every_reason_has_its_result(tmp_path: Path, reason: MessageReason) -> None:
    made = server(tmp_path)
    async with running(*made.links, inbox=Inbox(refuse=reason)), sp(await listening(made)) as peer:
        got = int.from_bytes((await peer.ask(SUBMIT, submit(3)))[8:], "big")
        assert (got == 8) == reason.is_temporary  # flow control, and nothing else, is "later"
        assert 0 < got <= 13


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Msg_Fmt": 5}, 1),
        ({"TP_udhi": 1, "Msg_Content": b"\x09\x00"}, 1),
        ({"Msg_Content": b"x" * 161}, 6),
        ({"Msg_Fmt": 8, "Msg_Content": b"x" * 142}, 6),
        ({"At_Time": OVER}, 9),
        ({"ValId_Time": "tomorrow"}, 1),
        ({"DestUsr_tl": 0}, 1),
        ({"DestUsr_tl": 2}, 4),
        ({"Msg_Length": 200}, 4),
    ],
)
async def test_what_cannot_be_taken_is_refused_and_the_connection_goes_on(
    tmp_path: Path, change: dict[str, object], expected: int
) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made)) as peer:
        answer = await peer.ask(SUBMIT, submit(3, **{"Msg_Content": b"hi"} | change))  # type: ignore[arg-type]
        assert answer == bytes(8) + result(3, expected)
        assert not inbox.messages
        assert (await peer.ask(SUBMIT, submit(3)))[8:] == result(3, 0)


async def test_a_validity_period_is_read(tmp_path: Path) -> None:
    made = server(tmp_path)
    at = datetime.now(ZoneInfo("Asia/Shanghai")).replace(microsecond=0) + timedelta(hours=2)
    async with running(*made.links) as inbox, sp(await listening(made)) as peer:
        await peer.ask(SUBMIT, submit(3, ValId_Time=f"{at:%y%m%d%H%M%S}032+"))
        await peer.ask(SUBMIT, submit(3, ValId_Time="000000010000000R"))
    assert inbox.messages[0].valid_until == at
    hour = inbox.messages[1].valid_until
    assert hour is not None and timedelta(minutes=59) < hour - datetime.now(UTC) <= timedelta(hours=1)


async def test_fields_filled_up_with_spaces_are_read(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made)) as peer:
        blank = {"At_Time": " " * 17, "ValId_Time": " " * 17}
        body = submit(3, Src_Id=A[3:].ljust(21), Dest_terminal_Id=X.ljust(32), **blank)
        assert (await peer.ask(SUBMIT, body))[8:] == result(3, 0)
    (received,) = inbox.messages
    assert (received.source, received.destination, received.valid_until) == (A[3:], X, None)


@BOTH
async def test_a_submit_that_is_sent_again_is_one_message_with_one_answer(
    tmp_path: Path, version: int
) -> None:
    made = server(tmp_path)
    inbox = Inbox(gate=asyncio.Event())
    async with running(*made.links, inbox=inbox), sp(await listening(made), version) as peer:
        for _ in range(3):  # as a peer does after T seconds, with the same Sequence_Id
            peer.send(SUBMIT, submit(version), sequence=70)
        await eventually(lambda: inbox.messages)
        assert inbox.gate is not None
        inbox.gate.set()
        first = await peer.expect(SUBMIT | RESP, 3, sequence=70)
        peer.send(SUBMIT, submit(version), sequence=70)
        assert await peer.expect(SUBMIT | RESP, 4, sequence=70) == first
        assert len(inbox.messages) == 1
        assert await peer.ask(SUBMIT, submit(version)) != first  # the next number: another message
        assert len(inbox.messages) == 2


async def test_a_submit_refused_for_now_counts_anew_when_it_comes_again(tmp_path: Path) -> None:
    made = server(tmp_path)
    inbox = Inbox(refuse=MessageReason.OVERLOADED)
    async with running(*made.links, inbox=inbox), sp(await listening(made)) as peer:
        peer.send(SUBMIT, submit(3), sequence=70)
        assert (await peer.expect(SUBMIT | RESP, 1))[8:] == result(3, 8)
        inbox.refuse = None
        peer.send(SUBMIT, submit(3), sequence=70)
        assert (await peer.expect(SUBMIT | RESP, 2))[8:] == result(3, 0)


@BOTH
async def test_who_connects_proves_it_and_so_do_we(tmp_path: Path, version: int) -> None:
    made = server(tmp_path)
    async with running(*made.links), sp(await listening(made), version, connected=False) as peer:
        body = connect(version)
        answer = await peer.ask(CONNECT, body)
        status = result(version, 0)
        assert answer == status + md5(status + body[6:22] + b"secret") + b"\x30"
        assert made.links[0].status().state is LinkState.UP
        again = await peer.ask(CONNECT, connect(version))
        assert again[: len(status)] == result(version, 5)
        assert (await peer.ask(ACTIVE_TEST)) == b"\0"
        assert (await peer.ask(TERMINATE)) == b""
        await peer.end()
        await eventually(lambda: made.links[0].status().state is LinkState.CONNECTING)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"secret": "secreT"}, 3),
        ({"secret": ""}, 3),
        ({"proof": bytes(16)}, 3),
        ({"account": "999999"}, 3),
        ({"account": "111111", "secret": ""}, 3),  # an account without a password
        ({"account": "222222"}, 3),  # from elsewhere
        ({"stamp": "half a year ago"}, 3),  # somebody's old Connect
        ({"stamp": "4294967295"}, 3),
        ({"claims": 0x40}, 4),
    ],
)
async def test_others_are_not_let_in(tmp_path: Path, fields: dict[str, str], status: int) -> None:
    bare = {"name": "bare", "account": "111111", "password_file": ""}
    away = {"name": "away", "account": "222222", "sources": ["192.0.2.0/24"]}
    made = server(tmp_path, {}, bare, away)
    if fields.get("stamp", "").startswith("half"):
        fields = {"stamp": f"{datetime.now(UTC) - timedelta(days=182):%m%d%H%M%S}"}
    async with running(*made.links), sp(await listening(made), connected=False) as peer:
        answer = await peer.ask(CONNECT, connect(3, **fields))  # type: ignore[arg-type]
        assert answer[:20] == result(3, status) + bytes(16)
        await peer.end()
        async with sp(made.port):
            pass


async def test_nothing_is_taken_before_a_connect(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made), connected=False) as peer:
        assert (await peer.ask(SUBMIT, submit(3)))[8:] == result(3, 2)
        assert inbox.messages == []


async def test_a_link_pinned_to_2_0_takes_no_3_0(tmp_path: Path) -> None:
    made = server(tmp_path, {"version": "2.0"})
    async with running(*made.links):
        async with sp(await listening(made), 3, connected=False) as peer:
            answer = await peer.ask(CONNECT, connect(3))
            assert answer[:4] == result(3, 4) and answer[-1] == 0x20
            await peer.end()
        async with sp(made.port, 2):
            pass


async def test_query_counts_and_cancel_cancels_nothing(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link) as inbox, sp(await listening(made)) as peer:
        await peer.ask(SUBMIT, submit(3))
        inbox.refuse = MessageReason.NOT_BOUND
        await peer.ask(SUBMIT, submit(3))
        await link.submit(outgoing("hi"))
        today = f"{datetime.now(ZoneInfo('Asia/Shanghai')):%Y%m%d}".encode()
        answer = await peer.ask(QUERY, today + bytes(19))
        assert answer[:19] == today + bytes(11)
        assert struct.unpack(">8I", answer[19:]) == (2, 2, 1, 0, 1, 1, 0, 0)
        assert await peer.ask(QUERY, b"20200101" + bytes(19)) == b"20200101" + bytes(11) + bytes(32)
        assert await peer.ask(CANCEL, bytes(8)) == result(3, 1)
        assert await peer.ask(0x10, b"a route") == result(3, 2)


async def test_an_answer_says_later_never_or_nothing(tmp_path: Path) -> None:
    results: list[int | None] = [8, 7, None]

    def auto(_peer: object, command: int, _sequence: int, body: bytes) -> bytes | None:
        value = results.pop(0) if command == DELIVER else 0
        return None if value is None else body[:8] + result(3, value)

    made = server(tmp_path, {"answer_s": 1})
    (link,) = made.links
    async with running(link), sp(await listening(made), auto=auto) as peer:
        await eventually(lambda: link.can_send)
        with pytest.raises(NotNow) as throttled:
            await link.submit(outgoing("hi"))
        assert throttled.value.retry_after_s and not throttled.value.link_down
        with pytest.raises(Rejected) as never:
            await link.submit(outgoing("hi"))
        assert never.value.error == "7"
        with pytest.raises(InDoubt):  # the connection lives, and yet nobody knows
            await link.submit(outgoing("hi"))
        assert not peer.closed
        results[:] = [None]
        waiting = asyncio.create_task(link.submit(outgoing("hi")))
        await peer.expect(DELIVER, 4)
        peer.writer.close()
        with pytest.raises(InDoubt):
            await waiting
        await eventually(lambda: not link.can_send)
        with pytest.raises(NotNow) as down:
            await link.submit(outgoing("hi"))
        assert down.value.link_down
        with pytest.raises(NotNow):
            await link.report(_report("0" * 20, MessageState.DELIVERED))


async def test_two_peers_in_two_versions_are_one_link(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link), sp(await listening(made), 2) as old, sp(made.port, 3) as new:
        await eventually(lambda: link.status().sessions == 2)
        await asyncio.gather(*(link.submit(outgoing("hi")) for _ in range(8)))
        assert len(old.delivered()) == len(new.delivered()) == 4


async def test_a_silent_peer_is_asked_three_times_and_then_dropped(tmp_path: Path) -> None:
    made = server(tmp_path, {"enquire_s": 1, "answer_s": 1})

    def mute(_peer: object, command: int, _sequence: int, body: bytes) -> None:
        return None

    async with running(*made.links), sp(await listening(made), auto=mute) as peer:
        await peer.end()
        assert [command for command, _, _ in peer.got].count(ACTIVE_TEST) == 3


async def test_a_binary_part_goes_as_it_is(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link), sp(await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await link.submit(outgoing(Part(bytes(range(140)), Encoding.BINARY)))
        (got,) = peer.delivered()
        assert (got["Msg_Fmt"], got["Msg_Content"]) == (4, bytes(range(140)))
        with pytest.raises(Rejected):
            await link.submit(outgoing(Part(bytes(141), Encoding.BINARY)))


async def test_the_port_speaks_tls(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    made = server(tmp_path, tls_cert=str(certificate), tls_key=str(key))
    async with running(*made.links) as inbox:
        port = await listening(made)
        link = client(tmp_path, port, tls=True, tls_ca=str(certificate))
        async with running(link):
            await eventually(lambda: link.can_send)
            assert await link.submit(outgoing("hi"))
            assert decode(inbox.messages[0].part) == "hi"
        with pytest.raises((AssertionError, ConnectionError)):
            async with sp(port):
                pass


async def test_a_missing_password_lets_nobody_in(tmp_path: Path) -> None:
    made = server(tmp_path, {"password_file": password(tmp_path, "")})
    async with running(*made.links), sp(await listening(made), connected=False) as peer:
        assert (await peer.ask(CONNECT, connect(3, secret="")))[:4] == result(3, 3)
