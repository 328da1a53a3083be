"""What SMPP peers were seen to write, in public reports, against our links over real sockets."""
# ruff: noqa: E501, PLR0917 - texts stand as peers wrote them

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qibai import logs
from qibai.core.messages import MessageState
from qibai.core.text import decode
from qibai.messaging.link import Receipt
from smpp_raw import raw_centre
from smpp_tools import B, Inbox, X, client, esme, eventually, listening, outgoing, running, server, smsc

DELIVERED, REJECTED, EXPIRED = MessageState.DELIVERED, MessageState.REJECTED, MessageState.EXPIRED
HEX_ID, DECIMAL_ID = "812FC7470000001B", str(0x812FC7470000001B)


@dataclass
class Carrier(Inbox):
    """Knows a part by every id that a receipt may mean, as the gateway does."""

    kept: list[Receipt] = field(default_factory=list)

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        self.kept.append(receipt)
        return not self.refs.isdisjoint({receipt.ref, *receipt.others})


#: Who wrote it; the id in its answer; the receipt's text; other fields; what became of the message, and the error.
RECEIPTS = [
    (
        "jasmin 1129: zeros in the answer alone",
        "00B8BE19",
        "id:B8BE19 sub:001 stat:DELIVRD err:000",
        {},
        DELIVERED,
        "",
    ),
    (
        "jasmin 760: what the next centre answered, by its name",
        "5",
        "id:5 sub:001 dlvrd:000 submit date:2611251111 done date:2611251111 stat:ESME_RINVDSTADR err:002 text:-",
        {},
        REJECTED,
        "ESMERINVDSTADR",
    ),
    (
        "jasmin 760: with a long name",
        "5",
        "id:5 sub:001 stat:ESME_RMISSINGOPTPARAM err:none text:-",
        {},
        REJECTED,
        "ESMERMISSINGOPTP",
    ),
    ("jsmpp 67: without sub and dlvrd", "654354026", "id:0654354026 stat:DELIVRD err:000", {}, DELIVERED, ""),
    ("each value ends as in C", "77", "id:77\0 sub:001\0 stat:EXPIRED\0 err:000\0", {}, EXPIRED, ""),
    (
        "smppex 46: dates as validity periods",
        "rdwjwxns18krxr9936ey96ymcw",
        "id:rdwjwxns18krxr9936ey96ymcw sub:000 dlvrd:000 submit date:180711070003912+ done date:180711070000012+"
        " stat:UNDELIV err:000",
        {},
        REJECTED,
        "",
    ),
    (
        "jasmin 366: zeros in the receipt alone",
        "972660181",
        "id:0972660181 stat:DELIVRD err:000",
        {},
        DELIVERED,
        "",
    ),
    ("jasmin 1034: hexadecimal, then decimal", "39f99dd5", "id:0972660181 stat:DELIVRD", {}, DELIVERED, ""),
    (
        "jasmin 586: 64 bits",
        HEX_ID,
        f"id:{DECIMAL_ID} sub:001 dlvrd:001 stat:DELIVRD err:000",
        {},
        DELIVERED,
        "",
    ),
    (
        "jsmpp 56: ten digits of a hexadecimal id",
        "33e95179",
        "id:0870928761 sub:001 stat:DELIVRD",
        {},
        DELIVERED,
        "",
    ),
    (
        "jasmin 643: a UUID without its first zero",
        "0e999f21-81ef-4974-a414-3de98174e3c7",
        "id:E999F21-81EF-4974-A414-3DE98174E3C7 stat:DELIVRD",
        {},
        DELIVERED,
        "",
    ),
    (
        "jasmin 418: letters of another case",
        "SAR-2347039245475-1eedf843-2-1",
        "id:SAR-2347039245475-1EEDF843-2-1 sub:001 dlvrd:000 stat:UNDELIV err:027",
        {},
        REJECTED,
        "027",
    ),
    (
        "jasmin 447: FAILED, and a date of zeros",
        "1216080510463401720",
        "id:1216080510463401720 sub:001 dlvrd:001 submit date:1608051046 done date:0000000000 stat:FAILED err:002 Text:",
        {},
        REJECTED,
        "002",
    ),
    (
        "jsmpp 62, 67: neither sub nor dlvrd, no text",
        "0654354026",
        "id:0654354026 submit date:2302101454 done date:2302101454 stat:DELIVRD err:000",
        {},
        DELIVERED,
        "",
    ),
    (
        "php-smpp 70: an error of four digits",
        "117062714244798261",
        "id:117062714244798261 sub:001 dlvrd:001 submit date:1706271624 done date:1706271624 stat:DELIVRD err:0000 text:H",
        {},
        DELIVERED,
        "",
    ),
    (
        "node-smpp 77: counts without zeros",
        "45013692",
        "id:45013692 sub:0 dlvrd:28 submit date:1908121157 done date:1908121158 stat:UNDELIV err:21 Text:*100#",
        {},
        REJECTED,
        "21",
    ),
    (
        "node-smpp 199: dates with seconds, the id in a parameter, too",
        "0000029095",
        "id:0000029095 sub:001 dlvrd:001 submit date:211125034959 done date:211125035001 stat:DELIVRD err:000 text:",
        {"receipted_message_id": "0000029095"},
        DELIVERED,
        "",
    ),
    (
        "a receipt that does not say so in esm_class",
        "A7",
        "id:a7 sub:001 dlvrd:001 submit date:2601010000 done date:2701010000 stat:DELIVERED err:000 text:",
        {"esm_class": 0},
        DELIVERED,
        "",
    ),
    (
        "words joined by underscores, and nothing in esm_class",
        "b8be19",
        "id:B8BE19 submit_date:2601010000 done_date:2701010000 stat:DELIVRD",
        {"esm_class": 0},
        DELIVERED,
        "",
    ),
    (
        "an id between quotation marks, and nothing in esm_class",
        "00B8BE19",
        'id:"B8BE19" sub:001 dlvrd:000 submit date:2601010000 done date:2701010000 stat:UNDELIV err:027 text:',
        {"esm_class": 0},
        REJECTED,
        "027",
    ),
    (
        "every value between quotation marks",
        "77aa",
        "id:'77AA' sub:'001' dlvrd:'001' submit_date:'2601010000' done_date:'2701010000' stat:'DELIVRD' err:'000'",
        {"esm_class": 0},
        DELIVERED,
        "",
    ),
    (
        "an object of JSON",
        "8f",
        '{"id":"8F","sub":"001","dlvrd":"000","submit_date":"2601010000","done_date":"2701010000","stat":"EXPIRED"}',
        {"esm_class": 0},
        MessageState.EXPIRED,
        "",
    ),
    ("a network's own code", "1f", "stat:MA:0001 err:MA0001 id:1F", {}, REJECTED, "MA0001"),
    (
        "parameters without any text",
        "77",
        "",
        {"receipted_message_id": "77", "message_state": 2},
        DELIVERED,
        "",
    ),
    ("a text cut off", "78", "id:78 sub:001 dlvrd:001 done date:2601010000 stat:DELIVR", {}, DELIVERED, ""),
]


@pytest.mark.parametrize(
    ("answered", "text", "fields", "state", "error"),
    [pytest.param(*case[1:], id=case[0]) for case in RECEIPTS],
)
async def test_a_receipt_as_a_peer_wrote_it_finds_its_message(
    tmp_path: Path, answered: str, text: str, fields: dict[str, Any], state: MessageState, error: str
) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link, inbox=Carrier()) as inbox:
            assert isinstance(inbox, Carrier)
            await eventually(lambda: link.can_send)
            await peer.hold("submit_sm")
            submitting = asyncio.create_task(link.submit(outgoing("hi")))
            got = await peer.expect("submit_sm")
            peer.order(answer=got["sequence_number"], fields={"message_id": answered})
            inbox.refs.add(await submitting)
            given = {"source_addr": B[1:], "destination_addr": X, "esm_class": 4, **fields}
            peer.send("deliver_sm", short_message={"message": text}, **given)
            answer = await peer.expect("deliver_sm_resp")
            assert answer["command_status"] == 0 and inbox.messages == []
            (told,) = inbox.kept
            assert not inbox.refs.isdisjoint({told.ref, *told.others})
            assert (told.state, told.error) == (state, error)


#: Who answers a submit_sm so; the octets after the header, which name message b8be19.
ANSWERS = [
    ("as written in SMPP 3.4", b"b8be19\0"),
    ("without the last NUL", b"b8be19"),
    ("with octets after the NUL", b"b8be19\0\0\0"),
    ("with a parameter", b"b8be19\0" + b"\0\x1d\0\x03ok\0"),
    ("without the NUL, with a parameter", b"b8be19" + b"\0\x1d\0\x03ok\0"),
]


@pytest.mark.parametrize("body", [pytest.param(case[1], id=case[0]) for case in ANSWERS])
async def test_an_answer_as_a_peer_wrote_it_names_the_message(tmp_path: Path, body: bytes) -> None:
    async with raw_centre(body) as port:
        link = client(tmp_path, port)
        async with running(link, inbox=Carrier()) as inbox:
            assert isinstance(inbox, Carrier)
            await eventually(lambda: link.can_send)
            inbox.refs.add(await link.submit(outgoing("hi")))
            (told,) = await eventually(lambda: inbox.kept)
            assert not inbox.refs.isdisjoint({told.ref, *told.others}) and told.state is DELIVERED


@pytest.mark.parametrize("text", ["id:1000 stat:UNDELIV", "id:1000 sub:001 dlvrd:001 stat:DELIVRD err:000"])
async def test_a_text_that_only_reads_as_a_receipt_is_a_text(tmp_path: Path, text: str) -> None:
    """Anybody can write it: it counts only where it is about a message of ours, with its two numbers."""
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            peer.send("deliver_sm", source_addr=B[1:], destination_addr=X, esm_class=0, short_message=text)
            await peer.expect("deliver_sm_resp", command_status=0)
            assert inbox.receipts == inbox.unknown == []
            (got,) = inbox.messages
            assert decode(got.part) == text


@pytest.mark.parametrize("text", ["id:1 stat:WHATEVR err:000", "id: stat:DELIVRD", "", "stat:DELIVRD"])
async def test_a_receipt_that_cannot_be_read_is_acknowledged_counted_and_logged(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            peer.send("deliver_sm", source_addr=B[1:], destination_addr=X, esm_class=4, short_message=text)
            await peer.expect("deliver_sm_resp", command_status=0)
            assert link.status().unread == 1 and inbox.messages == []
            assert "receipt_unread" in capsys.readouterr().err


#: Who writes it so; the fields of a submit_sm; what the gateway reads: sender, receiver, text, whether it is a part.
SUBMITS = [
    (
        "jasmin: international whatever the number",
        {"source_addr_ton": 1, "source_addr_npi": 1, "dest_addr_ton": 1, "dest_addr_npi": 1},
        ("13800138000", X, "hi"),
    ),
    (
        "Cloudhopper: sar_* of nothing",
        {"sar_msg_ref_num": 0, "sar_total_segments": 0, "sar_segment_seqnum": 0},
        ("13800138000", X, "hi"),
    ),
    ("Kannel: an address with a plus", {"source_addr": "+8613800138000"}, ("+8613800138000", X, "hi")),
    ("jsmpp: 00 before the country", {"source_addr": "008613800138000"}, ("008613800138000", X, "hi")),
]


@pytest.mark.parametrize(("fields", "read"), [pytest.param(*case[1:], id=case[0]) for case in SUBMITS])
async def test_a_submit_as_a_peer_writes_it_is_taken(
    tmp_path: Path, fields: dict[str, Any], read: tuple[str, str, str]
) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, esme(await listening(made)) as peer:
        await peer.expect("bind_transceiver_resp", command_status=0)
        given = {"source_addr": "13800138000", "destination_addr": X, **fields}
        peer.send("submit_sm", short_message="hi", **given)
        await peer.expect("submit_sm_resp", command_status=0)
        (got,) = inbox.messages
        assert (got.source, got.destination, decode(got.part)) == read and got.part.concat is None


@pytest.mark.parametrize(
    ("alphabet", "octets", "read"),
    [("gsm", b"\x00 10", "@ 10"), ("latin1", b"\xe9t\xe9", "été"), ("gbk", "你好".encode("gbk"), "你好")],
)
async def test_a_link_says_what_data_coding_0_means(
    tmp_path: Path, alphabet: str, octets: bytes, read: str
) -> None:
    made = server(tmp_path, {"alphabet": alphabet})
    async with running(*made.links) as inbox, esme(await listening(made)) as peer:
        await peer.expect("bind_transceiver_resp", command_status=0)
        addresses = {"source_addr": "13800138000", "destination_addr": X}
        peer.send("submit_sm", **addresses, short_message={"hex": octets.hex()}, data_coding=0)
        await peer.expect("submit_sm_resp", command_status=0)
        (got,) = inbox.messages
        assert decode(got.part) == read
