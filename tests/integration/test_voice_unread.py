"""Requests whose headers Kamailio itself cannot read are answered all the same."""

import re
from collections.abc import Callable, Iterator

import pytest

from qibai.core.events import CallEventKind
from qibai.core.numbering import Number700
from qibai.testing.platform import free_port, wait_for
from raw_sip import RawAgent, contact, header, raw_agent
from voice_tools import CALLER_AT, STRANGER_AT, A, B, Bench, bench

pytestmark = pytest.mark.voice
TWICE = [
    b"From: <sip:other@test>;tag=other",
    b"f: <sip:other@test>;tag=other",
    b"To: <sip:other@test>",
    b"Call-ID: other",
    b"CSeq: 9 INVITE",
    b"Max-Forwards: 60",
    b"Content-Length: 0",
]
NO_HEADER = [b"this is no header", b": nor is this"]
ABOVE = [b"Via", b"From", b"Call-ID", b"CSeq"]
EVERYWHERE = [(line, above) for line in (*NO_HEADER, b"this is none\r\n\tfolded", b"Via") for above in ABOVE]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("unread"), database, ring_timeout_s=20) as made:
        yield made


@pytest.fixture
def x(voice: Bench) -> Number700:
    made = voice.number()
    voice.bind(made, A, B)
    return made


@pytest.fixture
def near(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as agent:
        yield agent


@pytest.fixture
def far(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent(voice.callee, voice.here) as agent:
        yield agent


FROM = b"<sip:%b@test>;tag=near" % A.national.encode()


def invite(voice: Bench, agent: RawAgent, x: Number700, *headers: bytes) -> bytes:
    """Send an INVITE; returns its text."""
    return agent.request(
        b"INVITE",
        f"sip:{x}@{voice.here[0]}".encode(),
        from_=FROM,
        headers=(b"Content-Type: application/sdp", *headers),
        body=agent.sdp,
    )


@pytest.mark.parametrize("line", [*TWICE, *NO_HEADER])
def test_an_invite_is_refused_with_400(voice: Bench, near: RawAgent, x: Number700, line: bytes) -> None:
    sent = invite(voice, near, x, line)
    answer = near.take(b"SIP/2.0 ")
    assert answer.startswith(b"SIP/2.0 400 Bad Request (a header ")
    for name in (b"Via", b"From", b"Call-ID", b"CSeq"):
        assert header(answer, name).startswith(header(sent, name))
    assert len(re.findall(rb"(?i)\r\nReason:", answer)) == 1
    wait_for(lambda: voice.events(CallEventKind.REFUSED, x), "the record")
    (event,) = voice.events(CallEventKind.REFUSED, x)
    assert (event.reason, event.sip_status) == ("sip_malformed", 400)


@pytest.mark.parametrize("line", [TWICE[0], NO_HEADER[0]])
def test_a_stranger_is_refused_with_403(voice: Bench, x: Number700, line: bytes) -> None:
    with raw_agent((STRANGER_AT, free_port(STRANGER_AT)), voice.here) as stranger:
        invite(voice, stranger, x, line)
        assert stranger.take(b"SIP/2.0 ").startswith(b"SIP/2.0 403 ")


@pytest.mark.parametrize("line", NO_HEADER)
def test_a_bye_is_taken(voice: Bench, near: RawAgent, far: RawAgent, x: Number700, line: bytes) -> None:
    sent = invite(voice, near, x)
    far.reply(far.take(b"INVITE "), b"200 OK", body=far.sdp)
    answer = near.take(b"SIP/2.0 200")
    call_id, to = header(sent, b"Call-ID"), header(answer, b"To")
    for method, cseq in ((b"ACK", 1), (b"BYE", 2)):
        near.request(method, contact(answer), call_id=call_id, from_=FROM, to=to, cseq=cseq, headers=(line,))
        request = far.take(method)
        assert b"this" not in request
    far.reply(request, b"200 OK")
    near.take(b"SIP/2.0 200")
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")


@pytest.mark.parametrize("line", NO_HEADER)
def test_a_cancel_is_taken(voice: Bench, near: RawAgent, far: RawAgent, x: Number700, line: bytes) -> None:
    sent = invite(voice, near, x)
    rings = far.take(b"INVITE ")
    far.reply(rings, b"180 Ringing")
    near.take(b"SIP/2.0 180")
    near.request(
        b"CANCEL",
        f"sip:{x}@{voice.here[0]}".encode(),
        call_id=header(sent, b"Call-ID"),
        from_=FROM,
        via=header(sent, b"Via"),
        headers=(line,),
    )
    assert b"this" not in far.take(b"CANCEL ")
    far.reply(rings, b"487 Request Terminated")
    near.take(b"SIP/2.0 487")
    (end,) = voice.ends(x)
    assert end.ended_by == "caller"


@pytest.mark.parametrize("bad", EVERYWHERE)
def test_whole_calls_pass_wherever_the_line_stands(
    voice: Bench, near: RawAgent, far: RawAgent, x: Number700, bad: tuple[bytes, bytes]
) -> None:
    """Kamailio's core reads as far as a line that is no header; what it needs may stand below."""
    sent = invite(voice, near, x)
    far.line, far.above = bad
    rings = far.take(b"INVITE ")
    far.reply(rings, b"180 Ringing")
    near.take(b"SIP/2.0 180")
    far.reply(rings, b"200 OK", body=far.sdp)
    answer = near.take(b"SIP/2.0 200")
    assert b"m=audio" in answer
    call_id, to = header(sent, b"Call-ID"), header(answer, b"To")
    near.line, near.above = bad
    for method, cseq in ((b"ACK", 1), (b"BYE", 2)):
        near.request(method, contact(answer), call_id=call_id, from_=FROM, to=to, cseq=cseq)
        request = far.take(method)
    far.reply(request, b"200 OK")
    assert near.take(b"SIP/2.0 ").startswith(b"SIP/2.0 200")
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")


@pytest.mark.parametrize(
    ("line", "above"),
    [
        *((line, above) for line in (*NO_HEADER, TWICE[0], TWICE[2], b"Via: foo") for above in ABOVE),
        (b" this goes on with nothing", b"Via"),
    ],
)
def test_requests_are_refused_wherever_the_line_stands(
    voice: Bench, near: RawAgent, x: Number700, line: bytes, above: bytes
) -> None:
    near.line, near.above = line, above
    sent = invite(voice, near, x)
    answer = near.take(b"SIP/2.0 ")
    assert answer.startswith(b"SIP/2.0 400 ")
    assert header(answer, b"CSeq") == header(sent, b"CSeq")
    near.request(b"OPTIONS", b"sip:%b:%d" % (voice.here[0].encode(), voice.here[1]), from_=FROM)
    assert near.take(b"SIP/2.0 ").startswith(b"SIP/2.0 400 ")


@pytest.mark.parametrize("above", [b"Via", b"From", b"CSeq"])
def test_a_callee_whose_answer_is_of_no_use_gets_its_bye(
    voice: Bench, near: RawAgent, far: RawAgent, x: Number700, above: bytes
) -> None:
    """The recorder sends it, by the event."""
    invite(voice, near, x)
    far.line, far.above = b"Via: foo", above
    far.reply(far.take(b"INVITE "), b"200 OK", body=far.sdp)
    near.take(b"SIP/2.0 502")
    wait_for(lambda: voice.events(CallEventKind.LATE, x), "the late answer")
    (end,) = voice.ends(x)
    assert (end.reason, end.sip_status) == ("answer_unusable", 502)


def test_a_body_that_is_no_text_stays_as_long(
    voice: Bench, near: RawAgent, far: RawAgent, x: Number700
) -> None:
    invite(voice, near, x)
    far.line, far.above = NO_HEADER[0], b"Via"
    far.reply(far.take(b"INVITE "), b"200 OK", body=far.sdp.replace(b"s=-", b"s=\xd6\xd0\x00"))
    near.take(b"SIP/2.0 200")
