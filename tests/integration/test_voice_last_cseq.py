"""The platform's own BYE has a CSeq above all that a side has sent: else the other side refuses it."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from test_voice_octets import _Call

from qibai.core.numbering import Number700
from qibai.testing.platform import free_port
from raw_sip import RawAgent, contact, header, raw_agent
from recorder_tools import RecorderProcess
from voice_tools import CALLER_AT, A, B, Bench, bench, hang_up

pytestmark = pytest.mark.voice
HIGH = 2**31 - 1_000  #: a stack may begin anywhere below 2^31 (RFC 3261 §8.1.1.5)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with (
        bench(tmp_path_factory.mktemp("cseq"), database) as made,
        RecorderProcess(
            made.platform.config.home,
            QIBAI_NODE="test",
            QIBAI_VOICE_MEDIA="true",
            QIBAI_STORE_DSN=made.platform.config.store.dsn,
        ),
    ):
        yield made


@pytest.fixture
def near(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as agent:
        yield agent


@pytest.fixture
def far(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent(voice.callee, voice.here) as agent:
        yield agent


@pytest.fixture
def x(voice: Bench) -> Number700:
    made = voice.number()
    voice.bind(made, A, B)
    return made


def _cseq(message: bytes) -> int:
    return int(header(message, b"CSeq").split()[0])


def test_of_a_call_that_is_ended(voice: Bench, near: RawAgent, far: RawAgent, x: Number700) -> None:
    call = _Call(voice, near, x)
    asserted = b"P-Asserted-Identity: <sip:%b@test>" % A.national.encode()
    near.request(
        b"INVITE",
        call.uri,
        call_id=call.call_id,
        from_=call.from_,
        cseq=HIGH,
        headers=(asserted, b"Content-Type: application/sdp"),
        body=near.sdp,
    )
    asked = far.take(b"INVITE ")
    far.reply(asked, b"200 OK", body=far.sdp)
    answer = near.take(b"SIP/2.0 200")
    call.to, call.target = header(answer, b"To"), contact(answer)
    call.ask(b"ACK", HIGH)
    far.take(b"ACK ")
    ender = threading.Thread(target=lambda: asyncio.run(hang_up(voice, x)))
    ender.start()
    bye = far.take(b"BYE ")
    far.reply(bye, b"200 OK", contact=False)
    near.reply(near.take(b"BYE "), b"200 OK", contact=False)
    ender.join()
    assert HIGH < _cseq(bye) < 2**31


def test_of_an_answer_that_nobody_got(voice: Bench, near: RawAgent, far: RawAgent, x: Number700) -> None:
    """The caller has sent more than its INVITE by then."""
    call = _Call(voice, near, x)
    call.invite()
    asked = far.take(b"INVITE ")
    far.reply(asked, b"180 Ringing")
    ringing = near.take(b"SIP/2.0 180")
    call.to, call.target = header(ringing, b"To"), contact(ringing)
    call.ask(b"INFO", 9)
    far.reply(far.take(b"INFO "), b"200 OK", contact=False)
    near.take(b"SIP/2.0 200")
    far.reply(asked, b"200 OK")  # it does not answer the offer
    near.take(b"SIP/2.0 502")
    assert _cseq(far.take(b"ACK ")) == 1
    bye = far.take(b"BYE ")
    far.reply(bye, b"200 OK", contact=False)
    assert 9 < _cseq(bye) < 2**31
