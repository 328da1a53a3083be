"""Text messages by SIP MESSAGE through Kamailio, both ways; the gateway behind it is the link alone."""

import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from message_tools import Gateway, message_bench, outgoing
from qibai.config import Peer
from qibai.core.badge import BADGE_HEADER
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import decode
from qibai.messaging.link import InDoubt, NotNow, Receipt, Received, Refused, Rejected, Report, Taken
from qibai.messaging.sip_status import STATUS
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import free_port, listening, wait_for
from qibai.testing.sipp import Agent, Scenario
from voice_tools import CALLEE_AT, CALLER_AT, DEAD_AT, STRANGER_AT, A, B, Bench, peers

pytestmark = pytest.mark.voice

NOWHERE = "host=127.0.0.1 port=9 dbname=none"
X = "700123456780001"


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with message_bench(tmp_path_factory.mktemp("messages"), lambda: NOWHERE) as made:
        yield made


@pytest.fixture
def gateway(voice: Bench) -> Iterator[Gateway]:
    with Gateway(voice.platform.config) as made:
        yield made


def send(voice: Bench, scenario: Scenario, *, at: str = CALLER_AT, transport: str = "u1") -> Agent:
    """A peer's message and its answer."""
    agent = voice.agent(scenario, "sender", (at, free_port(at)), calls=True, transport=transport)
    agent.wait()
    return agent


def receiver(voice: Bench, *statuses: int, headers: tuple[str, ...] = (), transport: str = "u1") -> Agent:
    """The peer that messages go to; it answers one after the other."""
    scenario = Scenario(B.national)
    for status in statuses:
        scenario.expect_request("MESSAGE", first=True).reply(status, headers=headers)
    agent = voice.agent(scenario, "receiver", voice.callee, transport=transport)
    wait_for(lambda: listening(voice.callee, transport), "the receiver")
    return agent


def body_of(message: str) -> str:
    return message.replace("\r", "").partition("\n\n")[2].rstrip("\n")


class Raw:
    """A peer that sends bytes as they are."""

    def __init__(self, voice: Bench, at: str = CALLER_AT) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((at, 0))
        self._socket.settimeout(10)
        self._to = voice.here

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> str:
        self._socket.sendto(request, self._to)
        return self._socket.recv(65_536).decode()

    def message(
        self, body: bytes = b"hello", kind: str = "text/plain", more: str = "", branch: str = "z9hG4bK1"
    ) -> bytes:
        host, port = self._socket.getsockname()
        head = (
            f"MESSAGE sip:{X}@{self._to[0]} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch={branch}\r\n"
            f"From: <sip:{A.e164}@{host}>;tag=t\r\nTo: <sip:{X}@{self._to[0]}>\r\nCall-ID: {port}@{host}\r\n"
            f"CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: {kind}\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


# -- in ----------------------------------------------------------------------------------------


def test_a_message_is_taken(voice: Bench, gateway: Gateway) -> None:
    scenario = Scenario(A.national).message(X, "你好 A", headers=("Expires: 300",)).expect(202)
    sender = send(voice, scenario)
    assert gateway.mailbox.texts == ["你好 A"]
    (received,) = gateway.mailbox.messages
    assert (received.source, received.destination, received.link) == (A.e164, X, "sip")
    assert not received.wants_receipt
    assert received.valid_until is not None
    assert 0 < (received.valid_until - datetime.now(UTC)).total_seconds() <= 300
    (answer,) = sender.received
    assert answer.startswith("SIP/2.0 202 Accepted\n")
    assert "5064" not in answer
    names = {line.partition(":")[0] for line in answer.splitlines()[1:] if line}
    assert names == {"Via", "From", "To", "Call-ID", "CSeq", "Content-Length"}


def test_asserted_identity_counts_before_from(voice: Bench, gateway: Gateway) -> None:
    send(voice, Scenario("10086").message(X, "hi", asserted=A.national).expect(202))
    assert gateway.mailbox.messages[0].source == A.e164


def test_a_sender_that_is_no_number(voice: Bench, gateway: Gateway) -> None:
    """Whether it may send is for the gateway to say."""
    send(voice, Scenario("alice").message("4008001234", "hi").expect(202))
    assert [(m.source, m.destination) for m in gateway.mailbox.messages] == [("", "+864008001234")]


@pytest.mark.parametrize("reason", MessageReason)
def test_every_refusal_has_its_status(voice: Bench, gateway: Gateway, reason: MessageReason) -> None:
    gateway.mailbox.answer = lambda received: Refused(reason)
    sender = send(voice, Scenario(A.national).message(X, "hi").expect(STATUS[reason]))
    answer = sender.received[-1]
    assert ("Retry-After: " in answer) == (STATUS[reason] in (480, 503))
    assert "Reason" not in answer
    assert "Warning" not in answer


def test_charsets(voice: Bench, gateway: Gateway) -> None:
    """A text in GB 18030 arrives, although its bytes are no UTF-8."""
    with Raw(voice) as peer:
        answer = peer.ask(peer.message("快递到了".encode("gbk"), "text/plain;charset=GBK"))
    assert answer.startswith("SIP/2.0 202 Accepted\r\n")
    assert gateway.mailbox.texts == ["快递到了"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ((b"\xff", "text/plain"), 400),
        ((b"", "text/plain"), 400),
        ((b"a" * 10_001, "text/plain"), 513),
        ((b"<x/>", "application/im-iscomposing+xml"), 415),
        ((b"hi", "text/plain;charset=klingon"), 415),
        ((b"hi", "text/plain", "Content-Encoding: gzip\r\n"), 415),
        ((b"hi", "message/cpim"), 400),
        ((b"hi", "text/plain", "Require: msgsrp\r\n"), 420),
    ],
)
def test_what_is_no_text_is_refused(
    voice: Bench, gateway: Gateway, sent: tuple[bytes, str, *tuple[str, ...]], status: int
) -> None:
    with Raw(voice) as peer:
        answer = peer.ask(peer.message(*sent))
    assert answer.startswith(f"SIP/2.0 {status} ")
    assert ("Accept: text/plain, message/cpim\r\n" in answer) == (status == 415)
    assert gateway.mailbox.asked == 0


def test_a_message_that_comes_again_is_one(voice: Bench, gateway: Gateway) -> None:
    """As a retransmission, and again as a transaction of its own."""
    with Raw(voice) as peer:
        first = peer.ask(peer.message())
        assert peer.ask(peer.message()) == first
        assert gateway.mailbox.asked == 1
        assert peer.ask(peer.message(branch="z9hG4bK2")).startswith("SIP/2.0 202 Accepted\r\n")
    assert gateway.mailbox.asked == 2
    assert len(gateway.mailbox.messages) == 1


def test_a_stranger_is_refused(voice: Bench, gateway: Gateway) -> None:
    send(voice, Scenario(A.national).message(X, "hi").expect(403), at=STRANGER_AT)
    assert gateway.mailbox.asked == 0


@pytest.mark.parametrize("at", [CALLER_AT, "127.0.0.1"], ids=["peer", "this machine"])
def test_a_badge_that_is_not_ours_is_refused(voice: Bench, gateway: Gateway, at: str) -> None:
    """Not from a peer, nor from this machine."""
    scenario = Scenario(A.national).message(X, "hi", headers=(f"{BADGE_HEADER}: AAAA",)).expect(403)
    send(voice, scenario, at=at)
    assert gateway.mailbox.asked == 0


def test_this_machine_without_a_badge_is_refused(voice: Bench, gateway: Gateway) -> None:
    send(voice, Scenario(A.national).message(X, "hi").expect(403), at="127.0.0.1")
    assert gateway.mailbox.asked == 0


def test_without_its_gateway_the_platform_says_when_to_come_again(voice: Bench) -> None:
    sender = send(voice, Scenario(A.national).message(X, "hi").expect(503))
    assert "Retry-After: 5\n" in sender.received[-1]


# -- out ---------------------------------------------------------------------------------------


def test_a_message_is_sent(voice: Bench, gateway: Gateway) -> None:
    x = voice.number()
    peer = receiver(voice, 200)
    assert gateway.submit(outgoing("你好 B", x, B)) == ""
    peer.wait()
    (seen,) = peer.received
    assert seen.startswith(f"MESSAGE sip:{B.e164}@{CALLEE_AT}:")
    assert f"From: <sip:{x}@{voice.here[0]};user=phone>" in seen
    assert body_of(seen) == "你好 B"
    names = [line.partition(":")[0] for line in seen.partition("\n\n")[0].splitlines()[1:]]
    assert set(names) == {
        *("Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "P-Asserted-Identity", "Expires"),
        *("Content-Type", "Content-Length"),
    }


def test_what_is_sent_again_looks_alike(voice: Bench, gateway: Gateway) -> None:
    """So that a receiver can tell; its answer may have been lost."""
    x = voice.number()
    seen = []
    for _ in range(2):
        peer = receiver(voice, 200)
        gateway.submit(outgoing("hi", x, B, id=77))
        peer.wait()
        seen.append(re.findall(r"^(?:Call-ID|CSeq|From): .*$", peer.received[0], re.MULTILINE))
    assert seen[0] == seen[1]


def test_accepted_is_not_delivered(voice: Bench, gateway: Gateway) -> None:
    peer = receiver(voice, 202)
    assert gateway.submit(outgoing("hi", voice.number(), B)) != ""
    peer.wait()


@pytest.mark.parametrize("status", [302, 380, 404, 403, 415, 603, 513])
def test_refused_for_good(voice: Bench, gateway: Gateway, status: int) -> None:
    peer = receiver(voice, status)
    with pytest.raises(Rejected) as caught:
        gateway.submit(outgoing("hi", voice.number(), B))
    assert caught.value.error == str(status)
    peer.wait()


@pytest.mark.parametrize("status", [480, 503, 500])
def test_not_now(voice: Bench, gateway: Gateway, status: int) -> None:
    peer = receiver(voice, status, headers=("Retry-After: 17",))
    with pytest.raises(NotNow) as caught:
        gateway.submit(outgoing("hi", voice.number(), B))
    assert caught.value.retry_after_s == 17
    peer.wait()


def test_nobody_there(voice: Bench, gateway: Gateway) -> None:
    """Over UDP nobody can know: the message may have arrived."""
    with pytest.raises(InDoubt):
        gateway.submit(outgoing("hi", voice.number(), B))


def test_fail_over(tmp_path: Path) -> None:
    """The first peer is of no use: the second gets the message, in its own number format."""

    def two(port: int) -> list[Peer]:
        first = Peer(name="first", host=DEAD_AT, port=port, priority=20, number_format="national")
        return [first, *peers(port)]

    with message_bench(tmp_path, lambda: NOWHERE, two) as voice, Gateway(voice.platform.config) as gateway:
        scenario = Scenario(B.national).expect_request("MESSAGE", first=True).reply(503)
        refusing = voice.agent(scenario, "first", (DEAD_AT, voice.callee[1]))
        wait_for(lambda: listening((DEAD_AT, voice.callee[1])), "the first peer")
        peer = receiver(voice, 200)
        assert gateway.submit(outgoing("hi", voice.number(), B)) == ""
        peer.wait()
        refusing.wait()
        assert refusing.received[0].startswith(f"MESSAGE sip:{B.national}@{DEAD_AT}:")
        assert peer.received[0].startswith(f"MESSAGE sip:{B.e164}@{CALLEE_AT}:")
        assert "X-Qibai" not in peer.received[0]
        second = receiver(voice, 200)
        made = outgoing("again", voice.number(), B)
        with pytest.raises(InDoubt):  # nobody is at the first any more
            gateway.submit(made)
        assert gateway.submit(made) == ""
        second.wait()


def test_a_long_message_to_a_peer_over_tcp(tmp_path: Path) -> None:
    """And a platform that offers no UDP at all."""

    def tcp(port: int) -> list[Peer]:
        west, east = peers(port)
        return [structs.replace(west, transport="tcp", number_format="tel"), east]

    with (
        message_bench(tmp_path, lambda: NOWHERE, tcp, udp_port=0) as voice,
        Gateway(voice.platform.config) as gateway,
    ):
        text = "长" * 2_000
        peer = receiver(voice, 200, transport="t1")
        assert gateway.submit(outgoing(text, voice.number(), B)) == ""
        peer.wait()
        assert body_of(peer.received[0]) == text
        assert peer.received[0].startswith(f"MESSAGE tel:{B.e164} ")
        agent = voice.agent(
            Scenario(A.national).message(X, "over TCP").expect(202),
            "sender",
            (CALLER_AT, free_port(CALLER_AT)),
            calls=True,
            transport="t1",
        )
        agent.wait()
        assert gateway.mailbox.texts == ["over TCP"]


def test_a_message_over_ipv6(tmp_path: Path) -> None:
    """Peers speak IPv6; the gateway reaches Kamailio on loopback all the same."""

    def six(port: int) -> list[Peer]:
        return [Peer(name="carrier", host="::1", port=port)]

    with (
        message_bench(tmp_path, lambda: NOWHERE, six, parties_at=("::1", "::1"), host="::1") as voice,
        Gateway(voice.platform.config) as gateway,
    ):
        peer = receiver(voice, 200)
        assert gateway.submit(outgoing("六", voice.number(), B)) == ""
        peer.wait()
        assert peer.received[0].startswith(f"MESSAGE sip:{B.e164}@[::1]:")
        send(voice, Scenario(A.national).message(X, "hi").expect(202), at="::1")
        assert gateway.mailbox.texts == ["hi"]


def test_within_a_call_there_are_no_messages(voice: Bench, gateway: Gateway) -> None:
    """A message with the tag of a dialog, which is none of ours."""
    with Raw(voice) as peer:
        text = peer.message().replace(b">\r\nCall-ID", b">;tag=x\r\nCall-ID")
        assert peer.ask(text).startswith("SIP/2.0 481 ")
    assert gateway.mailbox.asked == 0


# -- CPIM --------------------------------------------------------------------------------------

WRAPPED = f"""From: A <sip:{A.e164}@home1.example>
To: <sip:{X}@home1.example>
DateTime: 2026-11-24T12:16:49+08:00
Subject: from {A.national}
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: 34jk324j
imdn.Disposition-Notification: positive-delivery, negative-delivery

Content-Type: text/plain; charset=utf-8

我到了"""

NOTICE = """From: <tel:1>
To: <tel:2>
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: d834jied93rf

Content-Type: message/imdn+xml
Content-Disposition: notification

<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn">
<message-id>{id}</message-id>
<datetime>2026-11-24T12:16:49+08:00</datetime>
<{kind}-notification><status><{status}/></status></{kind}-notification>
</imdn>"""


@pytest.fixture(scope="module")
def cpim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with message_bench(tmp_path_factory.mktemp("cpim"), lambda: NOWHERE, sip_cpim=True) as made:
        yield made


def test_the_sender_hears_of_the_delivery(cpim: Bench) -> None:
    """By a notification from the number it wrote to, that names its message as it did."""
    with Gateway(cpim.platform.config) as gateway:
        scenario = Scenario(A.national).message(X, WRAPPED, kind="message/cpim").expect(202)
        send(cpim, scenario)
        (received,) = gateway.mailbox.messages
        assert gateway.mailbox.texts == ["我到了"]
        assert received.wants_receipt
        peer = receiver(cpim, 200)
        at = datetime(2026, 11, 24, 4, 16, 50, tzinfo=UTC)
        gateway.report(Report(Receipt(received.ref, MessageState.DELIVERED, at), X, A.e164, at))
        peer.wait()
    (seen,) = peer.received
    assert seen.startswith(f"MESSAGE sip:{A.e164}@")
    assert "Content-Type: message/cpim\n" in seen
    body = body_of(seen)
    assert "\nContent-Disposition: notification\n" in body
    assert "<message-id>34jk324j</message-id>" in body
    assert "<status><delivered/></status>" in body
    assert f"From: <tel:{X};phone-context=+86>\n" in body


def test_the_receiver_tells_of_the_delivery(cpim: Bench) -> None:
    with Gateway(cpim.platform.config) as gateway:
        peer = receiver(cpim, 202)
        ref = gateway.submit(outgoing("在门口", cpim.number(), B))
        peer.wait()
        body = body_of(peer.received[0])
        assert f"imdn.Message-ID: {ref}\n" in body
        assert "imdn.Disposition-Notification: positive-delivery" in body
        assert body.endswith("\n\n在门口")
        for kind, id, status in (
            ("delivery", ref, 200),
            ("delivery", "nobody", 404),
            ("display", ref, 200),
        ):
            word = "delivered" if kind == "delivery" else "displayed"
            notice = NOTICE.format(id=id, kind=kind, status=word)
            send(cpim, Scenario(B.national).message(X, notice, kind="message/cpim").expect(status))
        found = {(receipt.ref, receipt.state) for receipt in gateway.mailbox.receipts}
        assert found == {(ref, MessageState.DELIVERED), ("nobody", MessageState.DELIVERED)}
        assert gateway.mailbox.messages == []


# -- what each side sees -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "message/cpim"])
def test_neither_side_sees_the_other(cpim: Bench, kind: str) -> None:
    """A message from A to B, through agents that tell their number wherever they can."""
    with Gateway(cpim.platform.config) as gateway:
        y = cpim.number()
        sent: list[Callable[[], object]] = []

        def hand_on(received: Received) -> Taken:
            text = decode(received.part)
            sent.append(gateway.start(gateway.link.submit(outgoing(text, y, B, id=len(sent) + 100))))
            return Taken(1)

        gateway.mailbox.answer = hand_on
        body = WRAPPED if kind == "message/cpim" else "我到了"
        seen = cpim.call(
            Scenario(A.national).message(X, body, kind=kind).expect(202),
            Scenario(B.national).expect_request("MESSAGE", first=True).reply(200),
        )
        assert sent[0]() == ""
        assert "我到了" in seen.callee[0]
        assert not LeakChecker({"caller": A}, {"caller": CALLER_AT}).scan_text(*seen.callee)
