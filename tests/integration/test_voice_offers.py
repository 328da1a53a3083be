"""Who offers what when: early media, reliable replies, UPDATE; each description goes through rtpengine."""

import asyncio
import itertools
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from qibai.testing.sipp import Scenario
from voice_tools import CALLEE_AT, CALLER_AT, HERE, A, B, Bench, answering, bench, calling, hang_up, wait_for

pytestmark = pytest.mark.voice

EVENT = 101  #: the payload type that both sides offer


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("offers"), database) as made:
        yield made


def test_early_media(voice: Bench) -> None:
    """183 with a description passes; its media is at our own address."""
    x = voice.number()
    voice.bind(x, A, B)
    callee = (
        Scenario(B.national)
        .expect_request("INVITE", first=True)
        .reply(183, sdp=True)
        .pause(50)
        .reply(200, sdp=True, retrans=True)
        .expect_request("ACK")
        .expect_request("BYE")
        .reply(200)
    )
    seen = voice.call(calling(A, x).request("BYE").expect(200), callee)
    early = next(text for text in seen.caller if text.startswith("SIP/2.0 183"))
    assert f"\nc=IN IP4 {HERE}\n" in early


def test_prack(voice: Bench) -> None:
    """A reliable provisional reply is acknowledged through us."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = (
        Scenario(A.national)
        .invite(str(x), headers=("Supported: 100rel",))
        .expect(100, optional=True)
        .expect(183)
        .request("PRACK", headers=("RAck: 1 1 INVITE",))
        .expect(200)
        .expect(200)
        .ack(cseq=1)
        .request("BYE")
        .expect(200)
    )
    callee = (
        Scenario(B.national)
        .expect_request("INVITE", first=True)
        .reply(183, sdp=True, headers=("Require: 100rel", "RSeq: 1"))
        .expect_request("PRACK")
        .reply(200, contact=False)
        .reply_to_invite(200, sdp=True)
        .expect_request("ACK")
        .expect_request("BYE")
        .reply(200)
    )
    seen = voice.call(caller, callee)
    assert any("RAck: 1 1 INVITE" in text for text in seen.callee)


def test_offer_in_a_reply(voice: Bench) -> None:
    """An INVITE without offer: the reliable 183 makes it, PRACK answers (RFC 3262 §5)."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national)
    caller.invite(str(x), headers=("Supported: 100rel",), sdp=False).expect(100, optional=True).expect(183)
    caller.request("PRACK", headers=("RAck: 1 1 INVITE",), body=caller.sdp()).expect(200).expect(200)
    caller.ack(cseq=1).request("BYE").expect(200)
    callee = Scenario(B.national, port=18_000).expect_request("INVITE", first=True)
    callee.reply(183, sdp=True, headers=("Require: 100rel", "RSeq: 1"))
    callee.expect_request("PRACK").reply(200, contact=False).reply_to_invite(200).expect_request("ACK")
    seen = voice.call(caller, callee.expect_request("BYE").reply(200))
    offer = next(text for text in seen.caller if text.startswith("SIP/2.0 183"))
    answer = next(text for text in seen.callee if text.startswith("PRACK "))
    assert f"\nc=IN IP4 {HERE}\n" in offer
    assert f"\nc=IN IP4 {HERE}\n" in answer
    assert media_port(offer) != media_port(answer)


def test_offer_in_prack(voice: Bench) -> None:
    """Once the 183 has answered the INVITE's offer, PRACK may make another, which its 200 answers."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national)
    caller.invite(str(x), headers=("Supported: 100rel",)).expect(100, optional=True).expect(183)
    held = caller.sdp("sendonly")
    caller.request("PRACK", headers=("RAck: 1 1 INVITE",), body=held).expect(200).expect(200)
    caller.ack(cseq=1).request("BYE").expect(200)
    callee = Scenario(B.national, port=18_000).expect_request("INVITE", first=True)
    callee.reply(183, sdp=True, headers=("Require: 100rel", "RSeq: 1")).expect_request("PRACK")
    callee.reply(200, sdp=True, direction="recvonly", contact=False).reply_to_invite(200)
    seen = voice.call(caller, callee.expect_request("ACK").expect_request("BYE").reply(200))
    early = next(text for text in seen.caller if text.startswith("SIP/2.0 183"))
    answer = next(text for text in seen.caller if "PRACK\n" in text)
    invite, offer = (next(t for t in seen.callee if t.startswith(m)) for m in ("INVITE ", "PRACK "))
    assert "\na=sendonly\n" in offer
    assert "\na=recvonly\n" in answer
    assert media_port(answer) == media_port(early), "each side keeps its place at rtpengine"
    assert media_port(offer) == media_port(invite)


def test_offer_in_the_answer(voice: Bench) -> None:
    """An INVITE without offer: the 200 makes it, ACK answers."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national)
    caller.invite(str(x), sdp=False).expect(100, optional=True).expect(180).expect(200)
    caller.request("ACK", cseq=1, body=caller.sdp()).pause(30).request("BYE").expect(200)
    seen = voice.call(caller, answering(B).expect_request("BYE").reply(200))
    offer = next(text for text in seen.caller if text.startswith("SIP/2.0 200"))
    answer = next(text for text in seen.callee if text.startswith("ACK "))
    assert f"\nc=IN IP4 {HERE}\n" in offer
    assert f"\nc=IN IP4 {HERE}\n" in answer
    assert media_port(offer) != media_port(answer)


@pytest.mark.parametrize("by_caller", [True, False], ids=["by the caller", "by the callee"])
def test_offer_in_update(voice: Bench, by_caller: bool) -> None:
    """Hold by UPDATE (RFC 3311): the offer and its answer pass, each with our own address."""
    x = voice.number()
    voice.bind(x, A, B)
    caller, callee = calling(A, x), answering(B)
    actor, other = (caller, callee) if by_caller else (callee, caller)
    actor.pause(50).request("UPDATE", body=actor.sdp("sendonly")).expect(200).request("BYE").expect(200)
    other.expect_request("UPDATE").reply(200, sdp=True, direction="recvonly")
    other.expect_request("BYE").reply(200)
    seen = voice.call(caller, callee)
    asked, told = (seen.callee, seen.caller) if by_caller else (seen.caller, seen.callee)
    offer = next(text for text in asked if text.startswith("UPDATE "))
    answer = next(text for text in told if re.search(r"^CSeq: \d+ UPDATE$", text, re.MULTILINE))
    assert "\na=sendonly\n" in offer
    assert "\na=recvonly\n" in answer
    for text, before in ((offer, asked), (answer, told)):
        assert f"\nc=IN IP4 {HERE}\n" in text
        described = next(text for text in before if "\nm=audio " in text)
        assert media_port(text) == media_port(described), "each side keeps its place at rtpengine"


def test_offer_in_early_update(voice: Bench) -> None:
    """Before the call is answered, as the precondition of RFC 3312 is met: 183, PRACK, UPDATE, 200."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national)
    caller.invite(str(x), headers=("Supported: 100rel",)).expect(100, optional=True).expect(183)
    caller.request("PRACK", headers=("RAck: 1 1 INVITE",)).expect(200)
    caller.request("UPDATE", body=caller.sdp("sendrecv")).expect(200).expect(200)
    caller.ack(cseq=1).request("BYE").expect(200)
    callee = Scenario(B.national, port=18_000).expect_request("INVITE", first=True)
    callee.reply(183, sdp=True, headers=("Require: 100rel", "RSeq: 1"), direction="inactive")
    callee.expect_request("PRACK").reply(200, contact=False)
    callee.expect_request("UPDATE").reply(200, sdp=True).reply_to_invite(200)
    seen = voice.call(caller, callee.expect_request("ACK").expect_request("BYE").reply(200))
    early = next(text for text in seen.caller if text.startswith("SIP/2.0 183"))
    answer = next(text for text in seen.caller if "UPDATE\n" in text and text.startswith("SIP/2.0 200"))
    assert "\na=inactive\n" in early
    assert "\na=sendrecv\n" in answer
    assert media_port(answer) == media_port(early)


@contextmanager
def listening_at(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((address, 0))
        made.settimeout(0.2)
        yield made


def arrives(key: bytes, seq: int, sender: socket.socket, port: int, receiver: socket.socket) -> bool:
    """Whether an event sent to the platform's port comes out at the other side, from our own address."""
    sender.sendto(struct.pack("!BBHII", 0x80, EVENT, seq, 160, 0x5EED) + key, (HERE, port))
    try:
        got, source = receiver.recvfrom(2_048)
    except TimeoutError:
        return False
    return got[1] & 0x7F == EVENT and got[12:] == key and source[0] == HERE


def test_key_presses_in_rtp_pass(voice: Bench) -> None:
    """telephone-event (RFC 4733) is agreed on, and its packets pass both ways."""
    x = voice.number()
    voice.bind(x, A, B)
    with listening_at(CALLER_AT) as near, listening_at(CALLEE_AT) as far:
        caller = Scenario(A.national, port=near.getsockname()[1]).invite(str(x)).expect(100, optional=True)
        caller.expect(200).ack().expect_request("BYE").reply(200)
        callee = Scenario(B.national, port=far.getsockname()[1]).expect_request("INVITE", first=True)
        callee.reply(200, sdp=True, retrans=True).expect_request("ACK").expect_request("BYE").reply(200)

        def press() -> None:
            voice.wait_set_up()
            told = [text for agent in voice.latest for text in agent.received if "\nm=audio " in text]
            key_5, seq = bytes([5, 0x8A, 3, 0x20]), itertools.count(1)  # its end, 100 ms
            invite = next(text for text in told if text.startswith("INVITE "))
            answer = next(text for text in told if text.startswith("SIP/2.0 200"))
            assert f"\na=rtpmap:{EVENT} telephone-event/8000\n" in invite
            assert f"\na=rtpmap:{EVENT} telephone-event/8000\n" in answer
            to_callee, to_caller = int(media_port(answer)), int(media_port(invite))
            wait_for(lambda: arrives(key_5, next(seq), near, to_callee, far), "the key at the callee's")
            wait_for(lambda: arrives(key_5, next(seq), far, to_caller, near), "the key at the caller's")
            asyncio.run(hang_up(voice, x))

        voice.call(caller, callee, meanwhile=press)


def media_port(text: str) -> str:
    """Where a message's description wants the audio."""
    found = re.search(r"^m=audio (\d+) ", text, re.MULTILINE)
    assert found, text
    return found[1]
