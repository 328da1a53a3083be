"""An answer without a codec of its offer: rtpengine would put the offer's own codecs there."""

import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from qibai.core.bencode import decode, encode
from qibai.core.events import CallEventKind
from qibai.core.ids import format_id
from qibai.core.numbering import Number700
from qibai.testing.platform import free_port, wait_for
from raw_sip import RawAgent, contact, header, raw_agent
from recorder_tools import RecorderProcess
from voice_tools import CALLER_AT, A, B, Bench, bench

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with (
        bench(tmp_path_factory.mktemp("codecs"), database, ring_timeout_s=20) as made,
        RecorderProcess(
            made.platform.config.home,
            QIBAI_NODE="test",
            QIBAI_VOICE_MEDIA="true",
            QIBAI_STORE_DSN=made.platform.config.store.dsn,
        ),
    ):
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


class _Call:
    """A call whose caller offers PCMA (payload type 8)."""

    def __init__(self, voice: Bench, near: RawAgent, far: RawAgent, x: Number700) -> None:
        self.near, self.far = near, far
        self._uri = f"sip:{x}@{voice.here[0]}".encode()
        self._to = b"<%b>" % self._uri
        self._call_id = b"codec-%d" % near.at[1]

    def ask(self, method: bytes, cseq: int, body: bytes = b"") -> None:
        self.near.request(
            method,
            self._uri,
            call_id=self._call_id,
            from_=b"<sip:%b@test>;tag=near" % A.national.encode(),
            to=self._to,
            cseq=cseq,
            headers=(
                b"P-Asserted-Identity: <sip:%b@test>" % A.national.encode(),
                b"Content-Type: application/sdp",
            ),
            body=body,
        )

    def invite(self) -> bytes:
        """Returns the INVITE that the callee got."""
        self.ask(b"INVITE", 1, self.near.sdp)
        return self.far.take(b"INVITE ")

    def set_up(self, body: bytes) -> bytes:
        """Returns the 200 that the caller got."""
        self.far.reply(self.invite(), b"200 OK", body=body)
        answer = self.near.take(b"SIP/2.0 200")
        self.reached(answer)
        self.ask(b"ACK", 1)
        self.far.take(b"ACK ")
        return answer

    def reached(self, answer: bytes) -> None:
        """Take the callee's place from its 200."""
        self._to, self._uri = header(answer, b"To"), contact(answer)

    def hang_up(self) -> None:
        self.ask(b"BYE", 9)
        self.far.reply(self.far.take(b"BYE "), b"200 OK")
        self.near.take(b"SIP/2.0 200")


def with_codecs(agent: RawAgent, codecs: bytes) -> bytes:
    return agent.sdp.replace(b"RTP/AVP 8\r\na=rtpmap:8 PCMA/8000", b"RTP/AVP " + codecs)


@pytest.fixture
def call(voice: Bench, near: RawAgent, far: RawAgent, x: Number700) -> _Call:
    return _Call(voice, near, far, x)


@pytest.mark.parametrize("early", [False, True], ids=["at once", "after early media"])
@pytest.mark.parametrize(
    "codecs", [b"18", b"18 101\r\na=rtpmap:101 telephone-event/8000"], ids=["G729", "keys"]
)
def test_an_answer_is_ended(voice: Bench, x: Number700, call: _Call, codecs: bytes, early: bool) -> None:
    near, far = call.near, call.far
    invite = call.invite()
    if early:
        far.reply(invite, b"183 Session Progress", body=with_codecs(far, codecs))
        assert b"m=audio" not in near.take(b"SIP/2.0 183")
    far.reply(invite, b"200 OK", body=with_codecs(far, codecs))
    assert near.take(b"SIP/2.0 502")
    far.take(b"ACK ")
    far.reply(far.take(b"BYE "), b"200 OK")
    (end,) = voice.ends(x)
    assert (end.reason, end.sip_status, end.ended_by) == ("answer_unusable", 502, "platform")


def test_one_codec_in_common_is_enough(call: _Call) -> None:
    answer = call.set_up(with_codecs(call.far, b"18 8"))
    assert b"\r\nm=audio " in answer
    assert b" RTP/AVP 8\r\n" in answer
    call.hang_up()


def test_early_media_may_fail_alone(call: _Call) -> None:
    near, far = call.near, call.far
    invite = call.invite()
    far.reply(invite, b"183 Session Progress", body=with_codecs(far, b"18"))
    near.take(b"SIP/2.0 183")
    far.reply(invite, b"200 OK", body=far.sdp)
    answer = near.take(b"SIP/2.0 200")
    assert b" RTP/AVP 8\r\n" in answer


def test_a_change_of_a_call_ends_it(voice: Bench, x: Number700, call: _Call) -> None:
    """Both sides have another session now, so the call cannot go on."""
    near, far = call.near, call.far
    call.set_up(far.sdp)
    call.ask(b"INVITE", 2, near.sdp)
    far.reply(far.take(b"INVITE "), b"200 OK", body=with_codecs(far, b"18"))
    near.take(b"SIP/2.0 502")
    far.take(b"ACK ")
    is_ended(voice, x, call)


@pytest.mark.parametrize("changes", [False, True], ids=["of a call", "within a call"])
def test_an_answer_in_an_ack_ends_the_call(voice: Bench, x: Number700, call: _Call, changes: bool) -> None:
    """The INVITE made no offer, so the 200 does, and the ACK answers."""
    near, far = call.near, call.far
    if changes:
        call.set_up(far.sdp)
    call.ask(b"INVITE", 2)
    far.reply(far.take(b"INVITE "), b"200 OK", body=far.sdp)
    call.reached(near.take(b"SIP/2.0 200"))
    call.ask(b"ACK", 2, with_codecs(near, b"18"))
    assert b"m=audio" not in far.take(b"ACK ")
    is_ended(voice, x, call)


def is_ended(voice: Bench, x: Number700, call: _Call) -> None:
    """The recorder hangs up on both sides, and its word for it stands."""
    for side in (call.far, call.near):
        side.reply(side.take(b"BYE "), b"200 OK")

    def record() -> list[tuple[object, ...]]:
        with psycopg.connect(voice.dsn) as conn:
            query = "SELECT reason, ended_by FROM call WHERE called = %s AND ended_at IS NOT NULL"
            return conn.execute(query, [x.serial]).fetchall()

    wait_for(lambda: record() == [("answer_unusable", "platform")], "the record", 60)


def test_an_update_fails_alone(voice: Bench, x: Number700, call: _Call) -> None:
    """The caller hears that nothing has changed, and gets its media where it had them before."""
    near, far = call.near, call.far
    call.set_up(far.sdp)
    before = caller_port(voice, x)
    call.ask(b"UPDATE", 2, near.sdp.replace(b"m=audio 20000", b"m=audio 20002"))
    far.reply(far.take(b"UPDATE "), b"200 OK", body=with_codecs(far, b"18"))
    near.take(b"SIP/2.0 502")
    assert caller_port(voice, x) == before == 20_000
    call.hang_up()
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")


def caller_port(voice: Bench, x: Number700) -> int:
    """Where rtpengine sends the caller's media."""
    (event,) = voice.events(CallEventKind.ANSWERED, x)
    media_id = format_id("c", event.code, event.call_id)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(5)
        control.connect(("127.0.0.1", voice.platform.config.voice.media_ng_port))
        question = encode({b"command": b"query", b"call-id": media_id.encode()})
        control.send(secrets.token_hex(4).encode() + b" " + question)
        answer: Any = decode(control.recv(65_535).partition(b" ")[2])
    return int(answer[b"tags"][b"a"][b"medias"][0][b"streams"][0][b"endpoint"][b"port"])
