"""Our side as a message centre, for ESMEs on node's `smpp`."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import Encoding, Part, split
from qibai.messaging.link import InDoubt, LinkState, NotNow, Receipt, Rejected, Report
from smpp_tools import (
    A,
    B,
    Inbox,
    X,
    esme,
    eventually,
    listening,
    outgoing,
    password,
    running,
    server,
)
from tls_tools import make_certificate

MT = {"source_addr": "13800138000", "destination_addr": X}


def _report(ref: str, state: MessageState, error: str = "") -> Report:
    return Report(Receipt(ref, state, datetime.now(UTC), error), X, A, datetime.now(UTC))


async def test_a_submitted_message_gets_an_id_and_later_its_receipt(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link) as inbox, esme(await listening(made)) as peer:
        await peer.expect(
            "bind_transceiver_resp", command_status=0, system_id="qibai", sc_interface_version=0x34
        )
        peer.send("submit_sm", **MT, short_message="Hello €", registered_delivery=1)
        answer = await peer.expect("submit_sm_resp", command_status=0)
        (received,) = inbox.messages
        assert answer["message_id"] == received.ref
        assert (received.source, received.destination, received.wants_receipt) == ("13800138000", X, True)
        assert received.part == Part(b"Hello \x1be", Encoding.GSM7)

        await link.report(_report(received.ref, MessageState.DELIVERED))
        receipt = await peer.expect("deliver_sm", esm_class=4)
        assert (receipt["source_addr"], receipt["destination_addr"]) == (X, "13800138000")
        text = receipt["short_message"]["message"]
        assert text.startswith(f"id:{received.ref} sub:001 dlvrd:001 ") and text.endswith(" text:")
        assert " stat:DELIVRD err:000 " in text
        assert (receipt["receipted_message_id"], receipt["message_state"]) == (received.ref, 2)

        await link.report(_report(received.ref, MessageState.REJECTED, "MK0001"))
        refused = await peer.expect("deliver_sm", count=2)
        assert " stat:REJECTD err:MK0001 " in refused["short_message"]["message"]


@pytest.mark.parametrize("text", ["Hello @£€{}", "你好，请在十分钟后下楼", "😀"])
async def test_a_text_is_delivered_to_the_peer(tmp_path: Path, text: str) -> None:
    made = server(tmp_path, {"number_format": "e164"})
    (link,) = made.links
    async with running(link), esme(await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        assert await link.submit(outgoing(text)) == ""  # the answer is final
        got = await peer.expect("deliver_sm", esm_class=0, registered_delivery=0, validity_period="")
        assert got["short_message"]["message"] == text
        assert (got["source_addr"], got["dest_addr_ton"], got["destination_addr"]) == (X, 1, B[1:])


async def test_a_long_text_is_delivered_in_parts(tmp_path: Path) -> None:
    text = "long " * 100
    made = server(tmp_path)
    (link,) = made.links
    async with running(link), esme(await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        parts = split(text, Encoding.GSM7, ref=9)
        await asyncio.gather(*(link.submit(outgoing(part)) for part in parts))
        await peer.expect("deliver_sm", count=len(parts), esm_class=0x40)
    by_place = {got["short_message"]["udh"][0]["hex"][-2:]: got for got in peer.got("deliver_sm")}
    assert "".join(by_place[f"{n + 1:02x}"]["short_message"]["message"] for n in range(len(parts))) == text


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (MessageReason.NOT_BOUND, 0x0B),
        (MessageReason.NOT_A_PARTY, 0x0A),
        (MessageReason.DIRECTION, 0x45),
        (MessageReason.OVERLOADED, 0x14),
        (MessageReason.STORE_UNAVAILABLE, 0x08),
    ],
)
async def test_a_refused_message_is_answered_with_its_status(
    tmp_path: Path, reason: MessageReason, status: int
) -> None:
    made = server(tmp_path)
    async with running(*made.links, inbox=Inbox(refuse=reason)), esme(await listening(made)) as peer:
        await peer.expect("bind_transceiver_resp", command_status=0)
        peer.send("submit_sm", **MT, short_message="hi")
        await peer.expect("submit_sm_resp", command_status=status)


async def test_transmitters_only_submit_and_receivers_only_receive(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link) as inbox:
        port = await listening(made)
        async with esme(port, bind="transmitter") as sender:
            await sender.expect("bind_transmitter_resp", command_status=0)
            assert link.status().state is LinkState.UP and not link.can_send
            with pytest.raises(NotNow) as down:
                await link.submit(outgoing("hi"))
            assert down.value.link_down
            async with esme(port, bind="receiver") as receiver:
                await receiver.expect("bind_receiver_resp", command_status=0)
                await link.submit(outgoing("hi"))
                await receiver.expect("deliver_sm")
                receiver.send("submit_sm", **MT, short_message="hi")
                await receiver.expect("submit_sm_resp", command_status=0x04)
                sender.send("submit_sm", **MT, short_message="hi")
                await sender.expect("submit_sm_resp", command_status=0)
            assert not sender.got("deliver_sm")
        assert len(inbox.messages) == 1


async def test_only_who_knows_the_password_and_comes_from_the_right_place_is_let_in(tmp_path: Path) -> None:
    elsewhere = {"name": "elsewhere", "account": "elsewhere", "sources": ["192.0.2.0/24"]}
    here = {"sources": ["127.0.0.0/8"], "sessions": 1}
    nothing = {"name": "nothing", "account": "nothing", "password_file": ""}
    made = server(tmp_path, here, elsewhere, nothing)
    async with running(*made.links):
        port = await listening(made)
        for wrong in (
            {"password": "secre"},
            {"password": ""},
            {"system_id": "nobody"},
            {"system_id": "elsewhere"},
            {"system_id": "nothing", "password": ""},
        ):
            async with esme(port, **wrong) as peer:
                await peer.expect("bind_transceiver_resp", command_status=0x0D)
                await peer.expect("closed")
        async with esme(port) as peer:
            await peer.expect("bind_transceiver_resp", command_status=0)
            async with esme(port) as second:
                await second.expect("bind_transceiver_resp", command_status=0x05)
                await second.expect("closed")
            peer.send("bind_transceiver", system_id="peer", password="secret")
            await peer.expect("bind_transceiver_resp", command_status=0x05)
            peer.send("submit_sm", **MT, short_message="hi")
            await peer.expect("submit_sm_resp", command_status=0)


async def test_an_account_may_not_use_anothers_password(tmp_path: Path) -> None:
    other = {"name": "other", "account": "other", "password_file": password(tmp_path, "other")}
    made = server(tmp_path, {}, other)
    async with running(*made.links):
        port = await listening(made)
        async with esme(port, system_id="other") as peer:
            await peer.expect("bind_transceiver_resp", command_status=0x0D)
        async with esme(port, system_id="other", password="other") as peer:
            await peer.expect("bind_transceiver_resp", command_status=0)
            await eventually(lambda: made.links[1].can_send)
            assert not made.links[0].can_send


async def test_what_is_not_offered_is_answered(tmp_path: Path) -> None:
    made = server(tmp_path)
    async with running(*made.links) as inbox, esme(await listening(made)) as peer:
        await peer.expect("bind_transceiver_resp", command_status=0)
        peer.send("query_sm", message_id="1", source_addr="1")
        await peer.expect("query_sm_resp", command_status=0x67)
        peer.send("cancel_sm", message_id="1", source_addr="1", destination_addr="2")
        await peer.expect("cancel_sm_resp", command_status=0x11)
        peer.send("replace_sm", message_id="1", source_addr="1", short_message="x")
        await peer.expect("replace_sm_resp", command_status=0x13)
        peer.send(
            "submit_multi", source_addr="1", dest_address=[{"dest_addr_ton": 0, "destination_addr": "2"}]
        )
        await peer.expect("submit_multi_resp", command_status=0x03)
        peer.send("submit_sm", **MT, short_message="ack", esm_class=0x08)
        await peer.expect("submit_sm_resp", command_status=0x43)
        peer.send("data_sm", **MT, message_payload={"message": "hello"})
        answer = await peer.expect("data_sm_resp", command_status=0)
        assert [received.ref for received in inbox.messages] == [answer["message_id"]]
        peer.send("enquire_link")
        await peer.expect("enquire_link_resp")


@pytest.mark.parametrize(
    ("status", "problem"), [(0x58, NotNow), (0x64, NotNow), (0x65, Rejected), (0x0B, Rejected)]
)
async def test_what_the_peer_does_not_take(tmp_path: Path, status: int, problem: type[Exception]) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link), esme(await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await peer.hold("deliver_sm")
        submitting = asyncio.create_task(link.submit(outgoing("hi")))
        got = await peer.expect("deliver_sm")
        peer.order(answer=got["sequence_number"], fields={"command_status": status})
        with pytest.raises(problem):
            await submitting
        reporting = asyncio.create_task(link.report(_report("1", MessageState.DELIVERED)))
        got = await peer.expect("deliver_sm", count=2)
        peer.order(answer=got["sequence_number"], fields={"command_status": status})
        with pytest.raises(problem):
            await reporting


async def test_a_peer_that_goes_away_leaves_parts_in_doubt_and_receipts_for_later(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link), esme(await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await peer.hold("deliver_sm")
        part = asyncio.create_task(link.submit(outgoing("hi")))
        receipt = asyncio.create_task(link.report(_report("1", MessageState.DELIVERED)))
        await peer.expect("deliver_sm", count=2)
        peer.order(destroy=True)
        with pytest.raises(InDoubt):
            await part
        with pytest.raises(NotNow):
            await receipt
        await eventually(lambda: link.status().sessions == 0)
        assert link.status().state is LinkState.CONNECTING


async def test_both_sides_unbind_in_order(tmp_path: Path) -> None:
    made = server(tmp_path)
    inbox = Inbox(gate=asyncio.Event())
    async with running(*made.links, inbox=inbox), esme(await listening(made)) as leaving:
        await leaving.expect("bind_transceiver_resp", command_status=0)
        leaving.send("submit_sm", **MT, short_message="hi")
        leaving.send("unbind")
        await eventually(lambda: inbox.messages)
        assert inbox.gate is not None
        inbox.gate.set()
        await leaving.expect("closed")
        order = [event["event"] for event in leaving.events]
        assert order.index("submit_sm_resp") < order.index("unbind_resp")  # what it sent was answered first
        stay = esme(made.port)
        staying = await stay.__aenter__()
        await staying.expect("bind_transceiver_resp", command_status=0)
    try:
        await staying.expect("unbind")
        await staying.expect("closed")
    finally:
        await stay.__aexit__(None, None, None)


async def test_tls(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "127.0.0.1")
    made = server(tmp_path, tls_cert=str(cert), tls_key=str(key))
    async with running(*made.links) as inbox, esme(await listening(made), ca=str(cert)) as peer:
        await peer.expect("bind_transceiver_resp", command_status=0)
        peer.send("submit_sm", **MT, short_message="over TLS")
        await peer.expect("submit_sm_resp", command_status=0)
        assert inbox.messages[0].part.data == b"over TLS"
