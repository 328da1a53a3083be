"""What CMPP stacks write beside the specification, seen in public reports and sources, over real sockets.

Of gateways (ISMG) that we connect to: gocmpp, Huawei's, sms-core (CMPP over netty). Of service providers that
connect to us: gocmpp, sm4j, java_cmpp2.0, node-cmpp-3.
"""

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cmpp_tools import client, listening, server
from qibai import logs
from qibai.core.messages import MessageState
from qibai.core.text import Encoding, decode
from qibai.messaging.link import LinkState, Receipt
from qibai.testing.cmpp import CONNECT, DELIVER, SECRET, SUBMIT, connect, ismg, md5, result, sp, write
from smpp_tools import A, B, Inbox, X, eventually, outgoing, running

DELIVERED, REJECTED, EXPIRED = MessageState.DELIVERED, MessageState.REJECTED, MessageState.EXPIRED
BOTH = pytest.mark.parametrize("version", [2, 3])


@dataclass
class Carrier(Inbox):
    """Knows a part by every id that a report may mean, as the gateway does."""

    kept: list[Receipt] = field(default_factory=list)

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        self.kept.append(receipt)
        return not self.refs.isdisjoint({receipt.ref, *receipt.others})


def body(
    msg_id: int,
    stat: bytes = b"DELIVRD",
    *,
    submitted: bytes = b"2611260800",
    done: bytes = b"2611260801",
    dest: bytes = B[3:].encode(),
    size: int = 21,
    sequence: int = 1,
    fill: bytes = b"\0",
) -> bytes:
    """A report's octets, each field filled up with ``fill``."""
    fields = ((stat, 7), (submitted, 10), (done, 10), (dest, size))
    return (
        msg_id.to_bytes(8, "big")
        + b"".join(v.ljust(n, fill) for v, n in fields)
        + sequence.to_bytes(4, "big")
    )


def turned(msg_id: int) -> int:
    return int.from_bytes(msg_id.to_bytes(8, "little"), "big")


def halves(msg_id: int) -> int:
    """Two numbers of 32 bits as a machine with its least octet first writes them."""
    return int.from_bytes(struct.pack("<II", msg_id >> 32, msg_id & 0xFFFFFFFF), "big")


#: Who writes so; the report's octets by our Submit's Msg_Id; its outcome and error; Registered_Delivery.
REPORTS: list[Any] = [
    ("as specified in 2.0", body, DELIVERED, "", 1),
    ("as specified in 3.0", lambda id: body(id, size=32), DELIVERED, "", 1),
    ("filled up with blanks", lambda id: body(id, b"EXPIRED", fill=b" "), EXPIRED, "", 1),
    (
        "a word that is shorter, blanks behind it",
        lambda id: body(id, b"UNDELIV"[:7], fill=b" "),
        REJECTED,
        "",
        1,
    ),
    ("small letters", lambda id: body(id, b"delivrd"), DELIVERED, "", 1),
    ("no Done_time", lambda id: body(id, done=b""), DELIVERED, "", 1),
    ("no dates at all", lambda id: body(id, submitted=b"", done=b""), DELIVERED, "", 1),
    ("dates of zeros", lambda id: body(id, submitted=b"0" * 10, done=b"0" * 10), DELIVERED, "", 1),
    ("SMSC_sequence of zero", lambda id: body(id, sequence=0), DELIVERED, "", 1),
    ("SMSC_sequence of all ones", lambda id: body(id, sequence=0xFFFFFFFF), DELIVERED, "", 1),
    ("a network's own code", lambda id: body(id, b"MA:0001"), REJECTED, "MA0001", 1),
    ("Huawei: a code of its own", lambda id: body(id, b"MK:0012"), REJECTED, "MK0012", 1),
    ("a code of letters", lambda id: body(id, b"MBBLACK"), REJECTED, "", 1),
    ("success as zeros", lambda id: body(id, b"000"), DELIVERED, "", 1),
    ("without the receiver", lambda id: body(id, dest=b""), DELIVERED, "", 1),
    ("a receiver with 86", lambda id: body(id, dest=B[1:].encode()), DELIVERED, "", 1),
    ("without SMSC_sequence", lambda id: body(id)[:-4], DELIVERED, "", 1),
    ("octets behind the end", lambda id: body(id) + b"\0" * 9, DELIVERED, "", 1),
    ("octets of the Msg_Id turned round", lambda id: body(turned(id)), DELIVERED, "", 1),
    ("a Msg_Id of two turned numbers", lambda id: body(halves(id)), DELIVERED, "", 1),
    ("a Deliver that does not say that it is one", body, DELIVERED, "", 0),
    ("Registered_Delivery 2", lambda id: body(id, b"REJECTD"), REJECTED, "", 2),
]


@BOTH
@pytest.mark.parametrize(
    ("content", "outcome", "registered"),
    [pytest.param(octets, (state, error), sign, id=name) for name, octets, state, error, sign in REPORTS],
)
async def test_a_report_as_a_gateway_writes_it_finds_its_message(
    tmp_path: Path, version: int, content: Any, outcome: tuple[MessageState, str], registered: int
) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port, version=f"{version}.0")
        async with running(link, inbox=Carrier()) as inbox:
            assert isinstance(inbox, Carrier)
            await eventually(lambda: link.can_send)
            inbox.refs.add(await link.submit(outgoing("hi")))
            told = content(gateway.submits[-1]["given"])
            fields = {
                "Msg_Id": 0xB1,
                "Src_terminal_Id": B[3:],
                "Dest_Id": X,
                "Msg_Content": told,
                "Registered_Delivery": registered,
            }
            answer = await gateway.peer.ask(DELIVER, write(DELIVER, version, fields))
            assert answer == struct.pack(">Q", 0xB1) + result(version, 0)
            assert inbox.messages == []
            (receipt,) = inbox.kept
            assert not inbox.refs.isdisjoint({receipt.ref, *receipt.others})
            assert (receipt.state, receipt.error) == outcome
            assert link.status().unread == 0


@pytest.mark.parametrize(
    "content",
    [body(1, b""), body(1, b" " * 7), b"DELIVRD", b""],
    ids=["no word", "blanks", "no report", "nothing"],
)
async def test_a_report_that_cannot_be_read_is_acknowledged_counted_and_logged(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            fields = {"Msg_Id": 7, "Src_terminal_Id": B[3:], "Dest_Id": X, "Msg_Content": content}
            answer = await gateway.peer.ask(DELIVER, write(DELIVER, 3, fields | {"Registered_Delivery": 1}))
            assert answer[8:] == result(3, 0)
            assert link.status().unread == 1
            assert inbox.messages == []
            assert "receipt_unread" in capsys.readouterr().err


async def test_a_wrong_date_in_a_report_decides_nothing(tmp_path: Path) -> None:
    """The date is kept as the gateway's word; the receipt counts from when it came."""
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link, inbox=Carrier()) as inbox:
            assert isinstance(inbox, Carrier)
            await eventually(lambda: link.can_send)
            inbox.refs.add(await link.submit(outgoing("hi")))
            began = datetime.now(UTC)
            fields = {
                "Src_terminal_Id": B[3:],
                "Dest_Id": X,
                "Msg_Content": body(gateway.submits[-1]["given"], done=b"0101010101"),
                "Registered_Delivery": 1,
            }
            await gateway.peer.ask(DELIVER, write(DELIVER, 3, fields))
            (receipt,) = inbox.kept
            assert began <= receipt.at <= datetime.now(UTC)
            assert receipt.stated_at is not None and receipt.at - receipt.stated_at > timedelta(days=365)


#: Msg_Fmt, TP_udhi, content; the text that is read, or the result that refuses it.
TEXTS: list[Any] = [
    ("GBK", 15, 0, "快递到了".encode("gbk"), "快递到了"),
    ("GBK called ASCII", 0, 0, "快递到了".encode("gbk"), "快递到了"),
    ("GB 18030 of four octets", 15, 0, "㐀快".encode("gb18030"), "㐀快"),
    ("UCS-2", 8, 0, "门口见".encode("utf-16-be"), "门口见"),
    ("TP_udhi without a header, UCS-2", 8, 1, "门口见".encode("utf-16-be"), "门口见"),
    ("TP_udhi without a header, GBK", 15, 1, "门口见".encode("gbk"), "门口见"),
    ("TP_udhi without a header, ASCII", 0, 1, b"Hello", "Hello"),
    ("TP_udhi without a header, Latin letters in UCS-2", 8, 1, "Hi".encode("utf-16-be"), "Hi"),
    ("a header that is cut off", 8, 1, b"\x05\x00\x03\x01", 1),
    ("a header that names no place", 8, 1, b"\x03\x22\x01\x31" + "门".encode("utf-16-be"), "门"),
    ("octets that mean something to a card", 3, 0, b"\x01\x02", b"\x01\x02"),
    ("octets", 4, 0, b"\x00\xff", b"\x00\xff"),
    ("an alphabet that nobody knows", 99, 0, b"hi", 1),
]


@pytest.mark.parametrize(
    ("msg_fmt", "udhi", "content", "read"), [pytest.param(*case[1:], id=case[0]) for case in TEXTS]
)
async def test_a_text_as_a_gateway_delivers_it(
    tmp_path: Path, msg_fmt: int, udhi: int, content: bytes, read: str | bytes | int
) -> None:
    async with ismg() as gateway:
        link = client(tmp_path, gateway.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            fields = {"Src_terminal_Id": A[3:], "Dest_Id": X, "Msg_Content": content, "Msg_Id": 9}
            octets = write(DELIVER, 3, fields | {"Msg_Fmt": msg_fmt, "TP_udhi": udhi})
            answer = await gateway.peer.ask(DELIVER, octets)
            if isinstance(read, int):
                assert (answer[8:], inbox.messages) == (result(3, read), [])
                return
            assert answer[8:] == result(3, 0)
            (received,) = inbox.messages
            if isinstance(read, bytes):
                assert (received.part.encoding, received.part.data) == (Encoding.BINARY, read)
            else:
                assert decode(received.part) == read


@BOTH
@pytest.mark.parametrize(
    ("last", "taken"),
    [
        (None, True),
        (b"", True),
        (bytes(8), True),
        (bytes(20), True),
        (b"12345678", True),
        (bytes(40), True),
        (b"1", False),
        (b"x" * 41, False),
    ],
    ids=[
        "as specified",
        "left out",
        "of 2.0",
        "of 3.0",
        "filled in",
        "zeros behind",
        "cut off",
        "octets behind",
    ],
)
async def test_the_last_field_as_service_providers_write_it(
    tmp_path: Path, version: int, last: bytes | None, taken: bool
) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made), version) as peer:
        fields = {"Src_Id": A[3:], "Dest_terminal_Id": X, "Msg_Content": b"hi"}
        octets = write(SUBMIT, version, fields)
        if last is not None:
            octets = octets[: -20 if version == 3 else -8] + last
        answer = await peer.ask(SUBMIT, octets)
        assert answer[8:] == result(version, 0 if taken else 4)
        assert [decode(one.part) for one in inbox.messages] == ["hi"] * taken


@pytest.mark.parametrize(
    ("registered", "value", "wants"), [(0, 0, False), (1, 0, True), (2, 9, None), (3, 0, False)]
)
async def test_registered_delivery(tmp_path: Path, registered: int, value: int, wants: bool | None) -> None:
    """2 asks for a bill alone: by the specification nobody gets the text, so it is refused."""
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made)) as peer:
        fields = {"Src_Id": A[3:], "Dest_terminal_Id": X, "Msg_Content": b"hi"}
        answer = await peer.ask(SUBMIT, write(SUBMIT, 3, fields | {"Registered_Delivery": registered}))
        assert answer[8:] == result(3, value)
        assert [one.wants_receipt for one in inbox.messages] == ([] if wants is None else [wants])


async def test_numbers_as_service_providers_write_them(tmp_path: Path) -> None:
    """Filled up with blanks, and a Msg_Id of their own in the Submit, which counts for nothing."""
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made), 2) as peer:
        for number in (A[3:], A[1:], A, f"{A[3:]}   "):
            fields = {"Src_Id": number, "Dest_terminal_Id": f"{X} ", "Msg_Content": b"hi", "Msg_Id": 77}
            answer = await peer.ask(SUBMIT, write(SUBMIT, 2, fields))
            assert answer[8:] == result(2, 0)
            assert int.from_bytes(answer[:8], "big") not in (0, 77)
        assert {one.source for one in inbox.messages} == {A[3:], A[1:], A}
        assert {one.destination for one in inbox.messages} == {X}


# -- logins ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "layout", "status"),
    [(0x12, 2, 0), (0x20, 2, 0), (0x21, 2, 0), (0x30, 3, 0), (0x31, 3, 0), (0x00, 2, 0), (0x40, 3, 4)],
)
async def test_versions_that_service_providers_name(
    tmp_path: Path, claims: int, layout: int, status: int
) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, sp(await listening(made), layout, connected=False) as peer:
        answer = await peer.ask(CONNECT, connect(layout, claims=claims))
        assert int.from_bytes(answer[:-17], "big") == status
        assert len(answer) == (21 if layout == 3 else 18)
        if status == 0:
            fields = {"Src_Id": A[3:], "Dest_terminal_Id": X, "Msg_Content": b"hi"}
            assert (await peer.ask(SUBMIT, write(SUBMIT, layout, fields)))[8:] == result(layout, 0)
    assert len(inbox.messages) == (status == 0)


def proofs(account: str, secret: str, stamp: str) -> dict[str, bytes]:
    """AuthenticatorSource as peers compute it."""
    zeros, key = bytes(9), secret.encode()
    return {
        "specified": md5(account.encode() + zeros + key + stamp.encode()),
        "gocmpp 2: the timestamp as a number": md5(account.encode() + zeros + key + str(int(stamp)).encode()),
        "gocmpp 13: an account filled up": md5(
            account.encode().ljust(6, b"\0") + zeros + key + stamp.encode()
        ),
        "both": md5(account.encode().ljust(6, b"\0") + zeros + key + str(int(stamp)).encode()),
    }


@pytest.mark.parametrize("kind", [*proofs("1", "s", "0101010101"), "another secret", "no secret"])
async def test_proofs_that_service_providers_compute(tmp_path: Path, kind: str) -> None:
    """Whoever knows the secret is let in, and nobody else."""
    stamp = f"{datetime.now(ZoneInfo('Asia/Shanghai')):%m%d%H%M%S}"
    right = proofs("9012", SECRET, stamp)
    proof = right.get(kind) or (proofs("9012", "another", stamp)["specified"] if "an" in kind else bytes(16))
    made = server(tmp_path, {"account": "9012"})
    async with running(*made.links), sp(await listening(made), connected=False) as peer:
        answer = await peer.ask(CONNECT, connect(3, account="9012", stamp=stamp, proof=proof))
        assert int.from_bytes(answer[:4], "big") == (0 if kind in right else 3)


@pytest.mark.parametrize("wide", [True, False], ids=["four octets of status", "one octet"])
async def test_a_gateways_proof_over_its_status(tmp_path: Path, wide: bool) -> None:
    def answered(gateway: Any, peer: Any, octets: bytes) -> bytes:
        proof = octets[6:22]
        status = bytes(4 if wide else 1)
        peer.version, peer.greeted = 3, True
        gateway.connects += 1
        return bytes(4) + md5(status + proof + SECRET.encode()) + b"\x30"

    async with ismg() as gateway:
        gateway._connect = lambda peer, octets: answered(gateway, peer, octets)  # type: ignore[method-assign]
        link = client(tmp_path, gateway.port)
        async with running(link):
            await eventually(lambda: link.can_send)


@pytest.mark.parametrize("status", [6, 9, 255])
async def test_a_status_that_no_table_names_is_a_refusal(tmp_path: Path, status: int) -> None:
    """gocmpp 8: a client of that library took it for success."""
    async with ismg() as gateway:
        gateway._connect = lambda peer, octets: (  # type: ignore[method-assign]
            status.to_bytes(4, "big") + bytes(16) + b"\x30"
        )
        link = client(tmp_path, gateway.port)
        async with running(link):
            await eventually(lambda: str(status) in link.status().error)
            assert link.status().state is not LinkState.UP
            assert not link.can_send


@pytest.mark.parametrize("verify", [True, False], ids=["it has to prove itself", "it need not"])
async def test_a_gateway_that_leaves_its_proof_empty(tmp_path: Path, verify: bool) -> None:
    def answered(gateway: Any, peer: Any, octets: bytes) -> bytes:
        peer.version, peer.greeted = 3, True
        gateway.connects += 1
        return bytes(4 + 16) + b"\x30"

    async with ismg() as gateway:
        gateway._connect = lambda peer, octets: answered(gateway, peer, octets)  # type: ignore[method-assign]
        link = client(tmp_path, gateway.port, verify=verify)
        async with running(link):
            if verify:
                await eventually(lambda: link.status().error)
                assert not link.can_send and link.status().state is not LinkState.UP
            else:
                await eventually(lambda: link.can_send)
