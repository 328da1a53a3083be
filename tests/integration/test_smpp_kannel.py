"""Our side as a message centre for Kannel."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kannel_tools import kannel
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import Encoding, decode, join, split
from qibai.messaging.link import Receipt, Report
from smpp_tools import A, B, Inbox, X, eventually, listening, outgoing, running, server
from tls_tools import make_certificate


@pytest.mark.parametrize("text", ["Hello @{} there", "你好，请在十分钟后下楼" * 20, "long " * 60])
async def test_a_text_of_any_length_comes_in_and_its_receipt_goes_back(tmp_path: Path, text: str) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link) as inbox, kannel(tmp_path, await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await peer.send(A[3:], X, text)
        await eventually(lambda: inbox.messages and _whole(inbox))
        assert decode(join([received.part for received in inbox.messages])) == text
        assert {(received.source, received.destination) for received in inbox.messages} == {(A[3:], X)}
        asking = [received for received in inbox.messages if received.wants_receipt]
        assert asking
        for received in asking:
            receipt = Receipt(received.ref, MessageState.DELIVERED, datetime.now(UTC))
            await link.report(Report(receipt, X, A, datetime.now(UTC)))
        await eventually(lambda: 1 in peer.statuses())


@pytest.mark.parametrize("long", ["udh8", "udh16", "sar"])
async def test_a_text_of_any_length_goes_out(tmp_path: Path, long: str) -> None:
    made = server(tmp_path, {"long": long})
    (link,) = made.links
    short, lengthy = "Grüße @ € {} 😀", "每一个字都要到" * 40
    async with running(link), kannel(tmp_path, await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await link.submit(outgoing(short))
        for part in reversed(
            split(lengthy, Encoding.UCS2, wide=long == "udh16", header=long != "sar", ref=77)
        ):
            await link.submit(outgoing(part))
        await eventually(lambda: len(peer.messages) == 2)
        assert peer.texts() == [short, lengthy]
        assert {(m["source"], m["destination"]) for m in peer.messages} == {(X, B[3:])}


@pytest.mark.parametrize(("reason", "status"), [(MessageReason.NOT_BOUND, 16), (MessageReason.CONTENT, 16)])
async def test_its_user_hears_of_a_refusal(tmp_path: Path, reason: MessageReason, status: int) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link, inbox=Inbox(refuse=reason)), kannel(tmp_path, await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await peer.send(A[3:], X, "hi")
        await eventually(lambda: status in peer.statuses())


async def test_it_sends_again_what_we_could_not_take(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    inbox = Inbox(refuse=MessageReason.OVERLOADED)
    async with running(link, inbox=inbox), kannel(tmp_path, await listening(made)) as peer:
        await eventually(lambda: link.can_send)
        await peer.send(A[3:], X, "hi")
        await eventually(lambda: inbox.messages)
        inbox.refuse = None
        await eventually(lambda: 8 in peer.statuses())


async def test_over_tls(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    made = server(tmp_path, tls_cert=str(cert), tls_key=str(key))
    (link,) = made.links
    async with running(link) as inbox, kannel(tmp_path, await listening(made), tls=True) as peer:
        await eventually(lambda: link.can_send)
        await peer.send(A[3:], X, "over TLS")
        await eventually(lambda: inbox.messages)
        await link.submit(outgoing("back over TLS"))
        await eventually(lambda: peer.texts() == ["back over TLS"])


def _whole(inbox: Inbox) -> bool:
    concat = inbox.messages[0].part.concat
    return concat is None or len(inbox.messages) == concat.total
