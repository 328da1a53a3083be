"""Our side as an ESME, bound to a message centre on node's `smpp`."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qibai.core.errors import StoreUnavailable
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import Concat, Encoding, Part, split
from qibai.messaging.link import InDoubt, LinkState, NotNow, Rejected, SubmitError
from smpp_tools import A, B, Inbox, X, client, eventually, outgoing, receipt_dates, running, smsc
from tls_tools import make_certificate

MO = {"source_addr": "13800138000", "destination_addr": X}


@pytest.mark.parametrize("text", ["Hello @£€{}", "你好，请在十分钟后下楼", "😀 in two surrogates"])
async def test_a_text_reaches_the_centre_and_its_receipt_comes_back(tmp_path: Path, text: str) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            ref = await link.submit(outgoing(text))
            got = await peer.expect("submit_sm")
            assert got["short_message"]["message"] == text
            assert (got["source_addr"], got["destination_addr"]) == (X, "13900139000")
            assert got["registered_delivery"] == 1
            inbox.refs.add(ref)
            peer.send(
                "deliver_sm",
                source_addr="13900139000",
                destination_addr=X,
                esm_class=4,
                short_message={
                    "message": f"id:{ref} sub:001 dlvrd:001 {receipt_dates()} stat:DELIVRD err:000 text:Hello"
                },
            )
            await peer.expect("deliver_sm_resp", command_status=0)
            assert [(r.ref, r.state) for r in inbox.receipts] == [(ref, MessageState.DELIVERED)]
            assert inbox.messages == []


async def test_a_message_from_the_centre_is_answered_once_it_is_kept(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        inbox = Inbox(gate=asyncio.Event())
        async with running(link, inbox=inbox):
            await eventually(lambda: link.can_send)
            peer.send("deliver_sm", **MO, short_message="你好", registered_delivery=1)
            await eventually(lambda: inbox.messages)
            peer.send("enquire_link")
            await peer.expect("enquire_link_resp")  # others go on meanwhile
            assert not peer.got("deliver_sm_resp")
            assert inbox.gate is not None
            inbox.gate.set()
            await peer.expect("deliver_sm_resp", command_status=0)
        (received,) = inbox.messages
        assert (received.source, received.destination) == ("13800138000", X)
        assert received.part == Part("你好".encode("utf-16-be"), Encoding.UCS2)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (MessageReason.NOT_BOUND, 0x0B),
        (MessageReason.CONTENT, 0x66),
        (MessageReason.STORE_UNAVAILABLE, 0x64),
        (MessageReason.OVERLOADED, 0x64),
    ],
)
async def test_a_refused_message_is_answered_with_its_status(
    tmp_path: Path, reason: MessageReason, status: int
) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link, inbox=Inbox(refuse=reason)):
            await eventually(lambda: link.can_send)
            peer.send("deliver_sm", **MO, short_message="hi")
            await peer.expect("deliver_sm_resp", command_status=status)


async def test_a_receipt_that_overtakes_the_answer_finds_its_message(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        inbox = Inbox(early=asyncio.Event())
        async with running(link, inbox=inbox):
            await eventually(lambda: link.can_send)
            await peer.hold("submit_sm")

            async def submit() -> None:
                inbox.refs.add(await link.submit(outgoing("hi")))
                assert inbox.early is not None
                inbox.early.set()

            submitting = asyncio.create_task(submit())
            got = await peer.expect("submit_sm")
            receipt = {"message": "id:early1 stat:DELIVRD err:000 text:"}
            peer.send(
                "deliver_sm",
                source_addr="13900139000",
                destination_addr=X,
                esm_class=4,
                short_message=receipt,
            )
            await eventually(lambda: inbox.unknown)
            peer.order(answer=got["sequence_number"], fields={"message_id": "early1"})
            await submitting
            await peer.expect("deliver_sm_resp", command_status=0)
            assert [r.ref for r in inbox.receipts] == ["early1"]


async def test_a_receipt_that_cannot_be_kept_is_not_acknowledged(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link, inbox=Inbox(fails=StoreUnavailable())):
            await eventually(lambda: link.can_send)
            receipt = {"message": "id:1 stat:DELIVRD err:000 text:"}
            peer.send(
                "deliver_sm",
                source_addr="13900139000",
                destination_addr=X,
                esm_class=4,
                short_message=receipt,
            )
            await peer.expect("deliver_sm_resp", command_status=0x64)


async def test_ids_answered_in_hex_and_reported_in_decimal(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port, receipt_ids="decimal")
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            inbox.refs.add(await link.submit(outgoing("hi")))  # the centre's first id is a0
            receipt = {"message": f"id:{0xA0:010d} stat:UNDELIV err:021 text:"}
            peer.send(
                "deliver_sm",
                source_addr="13900139000",
                destination_addr=X,
                esm_class=4,
                short_message=receipt,
            )
            await eventually(lambda: inbox.receipts)
            assert (inbox.receipts[0].state, inbox.receipts[0].error) == (MessageState.REJECTED, "021")


@pytest.mark.parametrize("long", ["udh8", "udh16", "sar"])
async def test_parts_of_a_long_text(tmp_path: Path, long: str) -> None:
    text = "每一个字都要到" * 30
    parts = split(text, Encoding.UCS2, wide=long == "udh16", header=long != "sar", ref=7)
    async with smsc() as (peer, port):
        link = client(tmp_path, port, long=long)
        async with running(link):
            await eventually(lambda: link.can_send)
            for part in parts:
                await link.submit(outgoing(part))
            await peer.expect("submit_sm", count=len(parts))
        got = peer.got("submit_sm")
        assert "".join(found["short_message"]["message"] for found in got) == text
        if long == "sar":
            assert [
                (g["sar_msg_ref_num"], g["sar_total_segments"], g["sar_segment_seqnum"]) for g in got
            ] == [(7, len(parts), seq + 1) for seq in range(len(parts))]
        else:
            assert all(found["esm_class"] == 0x40 and found["short_message"]["udh"] for found in got)


async def test_parts_come_in_by_header_by_parameters_and_as_payload(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            udh = {"hex": "0500030a0302"}
            peer.send("deliver_sm", **MO, short_message={"udh": udh, "message": "udh"}, esm_class=0x40)
            wide = {"hex": "060804012c0301"}
            peer.send("deliver_sm", **MO, short_message={"udh": wide, "message": "wide"}, esm_class=0x40)
            sar = {"sar_msg_ref_num": 300, "sar_total_segments": 2, "sar_segment_seqnum": 1}
            peer.send("deliver_sm", **MO, short_message="sar", **sar)
            peer.send("deliver_sm", **MO, short_message="", message_payload={"message": "payload " * 50})
            await peer.expect("deliver_sm_resp", count=4, command_status=0)
        concats = [received.part.concat for received in inbox.messages]
        assert concats == [Concat(10, 3, 2), Concat(300, 3, 1, True), Concat(300, 2, 1, True), None]
        assert [received.part.data for received in inbox.messages][:3] == [b"udh", b"wide", b"sar"]
        assert inbox.messages[3].part.data == b"payload " * 50


@pytest.mark.parametrize(
    ("status", "problem"),
    [(0x58, NotNow), (0x14, NotNow), (0x08, NotNow), (0x0B, Rejected), (0x45, Rejected)],
)
async def test_what_the_centre_does_not_take(tmp_path: Path, status: int, problem: type[Exception]) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link):
            await eventually(lambda: link.can_send)
            await peer.hold("submit_sm")
            submitting = asyncio.create_task(link.submit(outgoing("hi")))
            got = await peer.expect("submit_sm")
            peer.order(answer=got["sequence_number"], fields={"command_status": status})
            with pytest.raises(problem):
                await submitting
            assert link.status().refused == 1


async def test_a_part_that_was_taken_without_an_id_is_not_taken_for_delivered(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link):
            await eventually(lambda: link.can_send)
            await peer.hold("submit_sm")
            submits = [asyncio.create_task(link.submit(outgoing("hi"))) for _ in range(2)]
            await peer.expect("submit_sm", count=2)
            for got in peer.got("submit_sm"):
                peer.order(answer=got["sequence_number"], fields={"message_id": ""})
            refs = await asyncio.gather(*submits)
            assert all(refs) and refs[0] != refs[1]


async def test_a_part_without_an_answer_is_in_doubt_and_the_link_comes_back(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link):
            await eventually(lambda: link.can_send)
            await peer.hold("submit_sm")
            submitting = asyncio.create_task(link.submit(outgoing("hi")))
            await peer.expect("submit_sm")
            peer.order(destroy=True)
            with pytest.raises(InDoubt):
                await submitting
            with pytest.raises(NotNow) as down:
                await link.submit(outgoing("hi"))
            assert down.value.link_down
            await peer.hold()
            await eventually(lambda: link.can_send)
            assert await link.submit(outgoing("hi"))


async def test_a_late_answer_is_taken_as_long_as_the_connection_lives(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port, answer_s=1)
        async with running(link):
            await eventually(lambda: link.can_send)
            await peer.hold("submit_sm")
            answers: list[str | SubmitError] = []
            with pytest.raises(InDoubt) as doubt:
                await link.submit(replace(outgoing("slow"), late=answers.append))
            assert doubt.value.again_s == 5
            first = await peer.expect("submit_sm")
            peer.order(answer=first["sequence_number"], fields={"message_id": "00A7"})
            assert await eventually(lambda: answers) == ["a7"]
            await peer.hold()
            assert await link.submit(outgoing("next"))
            assert len(peer.got("bind_transceiver")) == 1 and link.status().late == 1


async def test_a_centre_that_answers_no_submit_at_all_is_left_for_a_new_connection(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port, answer_s=1)
        async with running(link):
            await eventually(lambda: link.can_send)
            await peer.hold("submit_sm")
            with pytest.raises(InDoubt):
                await link.submit(outgoing("never"))
            await peer.expect("unbind")
            await peer.hold()
            await peer.expect("bind_transceiver", count=2)
            await eventually(lambda: link.can_send)
            assert await link.submit(outgoing("again"))


async def test_a_centre_that_starts_later_is_found_and_a_wrong_password_is_told(tmp_path: Path) -> None:
    async with smsc() as (_peer, port):
        pass
    link = client(tmp_path, port)
    async with running(link):
        await eventually(lambda: "refused" in link.status().error)
        assert link.status().state is LinkState.CONNECTING
        async with smsc(port) as (peer, _port):
            peer.order(refuse=0x0E)
            await eventually(lambda: "0x0e" in link.status().error)
            peer.order(refuse=0)
            await eventually(lambda: link.can_send)
            assert link.status().state is LinkState.UP and link.status().error == ""


async def test_a_silent_centre_is_given_up(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port, enquire_s=1, answer_s=1)
        async with running(link):
            await eventually(lambda: link.can_send)
            await peer.expect("enquire_link")  # answered: the link stays
            assert link.can_send
            await peer.hold("enquire_link")
            await eventually(lambda: peer.got("closed"))
            await peer.hold()
            await peer.expect("bind_transceiver", count=2)


async def test_no_more_submits_wait_for_answers_than_the_window(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port, window=3, sessions=2)
        async with running(link):
            await eventually(lambda: link.status().sessions == 2)
            await peer.hold("submit_sm")
            submits = [asyncio.create_task(link.submit(outgoing("hi"))) for _ in range(8)]
            await peer.expect("submit_sm", count=3)
            peer.send("enquire_link")
            await peer.expect("enquire_link_resp")
            assert link.status().in_flight == 3 and len(peer.got("submit_sm")) == 3
            answered = 0
            while answered < 8:
                for got in peer.got("submit_sm")[answered:]:
                    assert len(peer.got("submit_sm")) - answered <= 3
                    peer.order(
                        answer=got["sequence_number"], session=got["session"], fields={"message_id": "1"}
                    )
                    answered += 1
                    await asyncio.wait(submits, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0.01)
            assert await asyncio.gather(*submits) == ["1"] * 8


async def test_what_is_no_message_is_acknowledged_and_goes_no_further(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            on_its_way = {"message": "id:1 stat:ENROUTE err:000 text:"}
            peer.send("deliver_sm", **MO, esm_class=0x20, short_message=on_its_way)
            peer.send("deliver_sm", **MO, esm_class=0x08, short_message="read")
            await peer.expect("deliver_sm_resp", count=2, command_status=0)
            peer.send("outbind", system_id="x", password="y")
            peer.send("query_sm", message_id="1", source_addr="1")
            await peer.expect("query_sm_resp", command_status=3)
            peer.send("alert_notification", source_addr="1", esme_addr="2")
            peer.send("data_sm", **MO, message_payload={"message": "by other means"})
            await peer.expect("data_sm_resp", command_status=0)
        assert [received.part.data for received in inbox.messages] == [b"by other means"]
        assert inbox.receipts == inbox.unknown == []


async def test_both_sides_unbind_in_order(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port)
        async with running(link):
            await eventually(lambda: link.can_send)
            peer.send("unbind")
            await peer.expect("unbind_resp")
            await peer.expect("bind_transceiver", count=2)
            await eventually(lambda: link.can_send)
        await peer.expect("unbind")
        assert link.status().state is LinkState.DOWN


async def test_tls_with_a_verified_certificate(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "127.0.0.1")
    other = tmp_path / "other"
    other.mkdir()
    stranger, _key = make_certificate(other, "127.0.0.1")
    async with smsc(cert=str(cert), key=str(key)) as (peer, port):
        wrong = client(tmp_path, port, tls=True, tls_ca=str(stranger), name="wrong")
        link = client(tmp_path, port, tls=True, tls_ca=str(cert))
        async with running(link, wrong):
            await eventually(lambda: link.can_send)
            await link.submit(outgoing("over TLS"))
            await eventually(lambda: "certificate" in wrong.status().error)
        assert [got["short_message"]["message"] for got in peer.got("submit_sm")] == ["over TLS"]


async def test_rate_and_sessions(tmp_path: Path) -> None:
    async with smsc() as (peer, port):
        link = client(tmp_path, port, rate=5, sessions=3, window=64)
        async with running(link):
            await eventually(lambda: link.status().sessions == 3)
            began = datetime.now(UTC)
            await asyncio.gather(*(link.submit(outgoing("hi")) for _ in range(9)))
            # five at once, then one every fifth of a second
            assert (datetime.now(UTC) - began).total_seconds() > 0.5
            assert len({got["session"] for got in peer.got("submit_sm")}) == 3


def test_numbers_are_not_shown() -> None:
    for shown in (repr(outgoing("13900139000")), repr(Inbox())):
        assert A[3:] not in shown and B[3:] not in shown
