"""The peers that users are given for their own tests do what their page says."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmpp_tools import client as cmpp_client
from qibai.core.messages import MessageState
from qibai.core.text import decode
from qibai.messaging.link import Rejected
from qibai.messaging.stream.client import ClientLink
from qibai.testing.cmpp import Ismg, ismg, text_of
from qibai.testing.platform import free_port, wait_for
from qibai.testing.ports import own_network
from qibai.testing.sip_phone import SipPhone
from qibai.testing.smpp import MessageCentre
from smpp_tools import A, B, Inbox, X, client, eventually, outgoing, running


async def told(link: ClientLink, inbox: Inbox, text: str) -> MessageState:
    """What the sender of a message is told in the end."""
    inbox.refs.add(await link.submit(outgoing(text)))
    receipt = await eventually(lambda: inbox.receipts and inbox.receipts[-1])
    return receipt.state


@pytest.mark.parametrize(("stat", "state"), [("DELIVRD", "delivered"), ("UNDELIV", "rejected")])
async def test_a_message_centre_takes_messages_and_sends_receipts(
    tmp_path: Path, stat: str, state: str
) -> None:
    async with MessageCentre(stat=stat) as centre:
        link = client(tmp_path, centre.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            reached = await told(link, inbox, "您的包裹到了")
            (message,) = await centre.received()
            assert (message.source, message.destination, message.text) == (X, B[3:], "您的包裹到了")
            assert reached == state
            assert await centre.deliver(A[1:], X, "收到") == 0
            assert decode(inbox.messages[0].part) == "收到"


async def test_a_message_centre_refuses_when_it_is_to(tmp_path: Path) -> None:
    async with MessageCentre(refuse=0x0B) as centre:  # invalid destination address
        link = client(tmp_path, centre.port)
        async with running(link):
            await eventually(lambda: link.can_send)
            with pytest.raises(Rejected):
                await link.submit(outgoing("hi"))
            assert centre.messages == []


@pytest.mark.parametrize("highest", [0x20, 0x30])
async def test_a_cmpp_gateway_takes_messages_and_sends_reports(tmp_path: Path, highest: int) -> None:
    async with ismg(stat="DELIVRD", highest=highest) as gateway:
        assert isinstance(gateway, Ismg)
        link = cmpp_client(tmp_path, gateway.port)
        async with running(link) as inbox:
            await eventually(lambda: link.can_send)
            assert await told(link, inbox, "您的包裹到了") == MessageState.DELIVERED
            (submit,) = gateway.submits
            assert (submit["Src_Id"], text_of(submit)) == (X, "您的包裹到了")
            assert await gateway.deliver(A[3:], X, "收到") == 0
            assert decode(inbox.messages[0].part) == "收到"


@pytest.fixture
def pair() -> Iterator[tuple[SipPhone, SipPhone]]:
    """Two telephones, each the other's platform."""
    first, second = ((host, free_port(host)) for host in (f"{own_network()}.45.{n}" for n in (2, 3)))
    with SipPhone(first, second) as one, SipPhone(second, first) as other:
        yield one, other


@pytest.mark.parametrize("caller_hangs_up", [True, False])
def test_telephones_call_talk_and_hang_up(pair: tuple[SipPhone, SipPhone], caller_hangs_up: bool) -> None:
    one, other = pair
    call = one.call("13800138000", "700000000010001")
    wait_for(lambda: call.talks and other.got_calls and other.got_calls[0].talks, "the answer")
    (got,) = other.got_calls
    assert got.called.startswith("sip:700000000010001@")
    assert got.caller.startswith("sip:13800138000@")
    if caller_hangs_up:
        one.end(call)
    else:
        other.end(got)
    wait_for(lambda: not call.talks and not got.talks, "the end")
    assert (call.status, got.status, one.faults, other.faults) == (200, 200, [], [])


def test_a_telephone_is_busy_when_it_is_to(pair: tuple[SipPhone, SipPhone]) -> None:
    one, other = pair
    other.answer = 486
    call = one.call("13800138000", "700000000010001")
    wait_for(lambda: call.status, "the answer")
    assert (call.status, call.talks) == (486, False)


async def test_received_waits_for_what_is_still_to_come(tmp_path: Path) -> None:
    async with MessageCentre(stat="") as centre:
        link = client(tmp_path, centre.port)
        async with running(link):
            waiting = asyncio.create_task(centre.received(2))
            await eventually(lambda: link.can_send)
            await link.submit(outgoing("one"))
            await link.submit(outgoing("two"))
            assert [message.text for message in await waiting] == ["one", "two"]
