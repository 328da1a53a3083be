"""What belongs to a call: nothing after its end, nothing from strangers, no answer that answers nothing."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from qibai.config import Peer
from qibai.core.events import CallEventKind
from qibai.core.numbering import Number700
from qibai.store.loss_counts import read_losses
from qibai.testing.platform import free_port, wait_for
from qibai.testing.sipp import Scenario
from qibai.voice import engine
from qibai.voice.log import LogFilter
from raw_sip import RawAgent, contact, header, raw_agent
from recorder_tools import RecorderProcess
from voice_tools import (
    CALLEE_AT,
    CALLER_AT,
    DEAD_AT,
    STRANGER_AT,
    A,
    B,
    Bench,
    UdpPeer,
    answering,
    bench,
    calling,
)

pytestmark = pytest.mark.voice
_NEXT_PORT = 5079
_FAULT = """
from qibai.voice.worker import Worker

_keep = Worker.keep


def _broken(self, request, *args, **more):
    if request.first("x-fault"):
        raise RuntimeError("a fault of the test's own")
    _keep(self, request, *args, **more)


Worker.keep = _broken
"""


def _peers(port: int) -> list[Peer]:
    return [
        Peer(name="west", host=CALLEE_AT, port=port),
        Peer(name="next", host=DEAD_AT, port=_NEXT_PORT, priority=5),
        Peer(name="east", host=CALLER_AT, priority=-1),
    ]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with (
        bench(tmp_path_factory.mktemp("ends"), database, _peers) as made,
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
def far(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent(voice.callee, voice.here) as agent:
        yield agent


class _Talk:
    """A call between two raw agents; it has been answered, unless it is to ring only."""

    def __init__(
        self, voice: Bench, near: RawAgent, far: RawAgent, x: Number700, *, rings: bool = False
    ) -> None:
        self.near, self.far = near, far
        uri = f"sip:{x}@{voice.here[0]}".encode()
        self._from = b"<sip:%b@%b>;tag=near" % (A.national.encode(), CALLER_AT.encode())
        self._call_id = b"end-%d" % near.at[1]
        asserted = b"P-Asserted-Identity: <sip:%b@test>" % A.national.encode()
        near.request(
            b"INVITE",
            uri,
            call_id=self._call_id,
            from_=self._from,
            headers=(asserted, b"Content-Type: application/sdp"),
            body=near.sdp,
        )
        self._invite = far.take(b"INVITE ")
        if rings:
            far.reply(self._invite, b"180 Ringing")
            self._reached(near.take(b"SIP/2.0 180"))
        else:
            self.answer()
            self.acknowledge()

    def answer(self) -> None:
        self.far.reply(self._invite, b"200 OK", body=self.far.sdp)
        self._reached(self.near.take(b"SIP/2.0 200"))

    def acknowledge(self) -> None:
        self.ask(self.near, b"ACK", 1)
        self.far.take(b"ACK ")

    def _reached(self, reply: bytes) -> None:
        self._to, self._target = header(reply, b"To"), contact(reply)

    def ask(self, by: RawAgent, method: bytes, cseq: int, *headers: bytes) -> None:
        """The caller's request, sent from any socket."""
        by.request(
            method,
            self._target,
            call_id=self._call_id,
            from_=self._from,
            to=self._to,
            cseq=cseq,
            headers=headers,
        )

    def hang_up(self, cseq: int = 9) -> None:
        self.ask(self.near, b"BYE", cseq)
        self.far.reply(self.far.take(b"BYE "), b"200 OK")
        self.near.take(b"SIP/2.0 200")


@pytest.fixture
def talk(voice: Bench, far: RawAgent, x: Number700) -> Iterator[_Talk]:
    with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as near:
        yield _Talk(voice, near, far, x)


@pytest.mark.parametrize("method", [b"INFO", b"UPDATE", b"INVITE", b"PRACK", b"OPTIONS", b"BYE"])
def test_a_call_that_is_over_takes_no_request(talk: _Talk, method: bytes) -> None:
    talk.hang_up()
    talk.ask(talk.near, method, 20, *([b"RAck: 1 1 INVITE"] if method == b"PRACK" else []))
    talk.near.take(b"SIP/2.0 481")
    talk.far.close()
    assert not any(data.startswith(method + b" ") for data in talk.far.seen[3:])


def test_an_answer_that_crossed_an_early_bye_is_hung_up_on(voice: Bench, far: RawAgent, x: Number700) -> None:
    """The BYE ended the early dialog (RFC 3261 §15); the answer's takes a BYE of its own, then no more."""
    with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as near:
        talk = _Talk(voice, near, far, x, rings=True)
        talk.ask(near, b"BYE", 2)
        early = far.take(b"BYE ")
        talk.answer()
        far.reply(early, b"200 OK")
        near.take(b"SIP/2.0 200")
        talk.acknowledge()
        talk.hang_up(3)
        talk.ask(near, b"BYE", 4)
        near.take(b"SIP/2.0 481")

    def record() -> list[tuple[object, ...]]:
        with psycopg.connect(voice.dsn) as conn:
            query = "SELECT reason, ended_by FROM call WHERE called = %s AND ended_at IS NOT NULL"
            return conn.execute(query, [x.serial]).fetchall()

    wait_for(record, "the record", 60)
    assert record() == [("answered", "caller")]


def test_a_call_that_ended_through_another_node_takes_no_request(
    voice: Bench, talk: _Talk, x: Number700
) -> None:
    def is_on_record() -> bool:
        with psycopg.connect(voice.dsn) as conn:
            done = conn.execute("UPDATE call SET ended_at = now() WHERE called = %s", [x.serial])
            return done.rowcount == 1

    wait_for(is_on_record, "the record", 60)
    talk.ask(talk.near, b"INFO", 5)
    talk.near.take(b"SIP/2.0 481")


@pytest.mark.parametrize("at", ["127.0.0.1", STRANGER_AT], ids=["this machine", "elsewhere"])
def test_a_stranger_ends_no_call(voice: Bench, talk: _Talk, x: Number700, at: str) -> None:
    """Who knows a token and may send from this machine is not the recorder, which shows a badge."""
    run_dir = voice.platform.config.run_dir
    before = read_losses(run_dir)["requests_of_strangers"][0]
    with raw_agent((at, free_port(at)), voice.here) as stranger:
        for headers in ((), (b"X-Qibai-Badge: none",)):
            talk.ask(stranger, b"BYE", 4, *headers)
            stranger.take(b"SIP/2.0 403")
    assert read_losses(run_dir)["requests_of_strangers"][0] == before + 2
    talk.ask(talk.near, b"INFO", 5)
    talk.far.reply(talk.far.take(b"INFO "), b"200 OK")
    talk.near.take(b"SIP/2.0 200")
    talk.hang_up()
    assert not any(b"CSeq: 4 " in data for data in talk.far.seen)
    (end,) = voice.ends(x)
    assert end.ended_by == "caller"


def test_an_answer_without_a_description_is_ended(voice: Bench, x: Number700) -> None:
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(180).expect(502)
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180).pause(50)
    callee.reply(200).expect_request("ACK").expect_request("BYE").reply(200)
    with UdpPeer((DEAD_AT, _NEXT_PORT)) as spare:
        voice.call(caller.fail_ack(str(x)), callee)
    assert b"INVITE" not in spare.methods
    (end,) = voice.ends(x)
    assert (end.reason, end.sip_status, end.ended_by) == ("answer_unusable", 502, "platform")


def test_an_answer_may_be_described_before(voice: Bench, x: Number700) -> None:
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(183).expect(200).ack()
    callee = Scenario(B.national, port=18_000).expect_request("INVITE", first=True).reply(183, sdp=True)
    callee.pause(50).reply(200, retrans=True).expect_request("ACK").expect_request("BYE").reply(200)
    voice.call(caller.request("BYE").expect(200), callee)
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")
    assert end.talked_ms is not None and 0 <= end.talked_ms < 60_000


@pytest.mark.parametrize("missing", [b"Via", b"Call-ID", b"From", b"To", b"CSeq"])
def test_an_invite_that_cannot_be_answered_is_counted(voice: Bench, x: Number700, missing: bytes) -> None:
    """Kamailio's core drops it before any script; what its log says of it is counted."""

    def counted() -> int:
        found: list[str] = []
        shown = LogFilter(found.append)
        for line in voice.platform.log.read_text("utf-8").splitlines():
            shown(line)
        assert set(found) <= {"requests_unanswerable"}
        return len(found)

    before = counted()
    with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as near:
        near.send(_invite(voice, near, x, missing))
        wait_for(lambda: counted() == before + 1, "the line", 60)


def _invite(voice: Bench, near: RawAgent, x: Number700, missing: bytes) -> bytes:
    lines = [
        b"Via: SIP/2.0/UDP %b;branch=z9hG4bKlacks%b" % (near.place, missing),
        b"Max-Forwards: 70",
        b"From: <sip:%b@test>;tag=lacks" % A.national.encode(),
        b"To: <sip:%b@test>" % str(x).encode(),
        b"Call-ID: lacks-%b-%d" % (missing, near.at[1]),
        b"CSeq: 1 INVITE",
        b"Contact: <sip:%b>" % near.place,
        b"Content-Length: 0",
    ]
    kept = [line for line in lines if not line.startswith(missing + b":")]
    uri = f"sip:{x}@{voice.here[0]}".encode()
    return b"\r\n".join([b"INVITE %b SIP/2.0" % uri, *kept, b"", b""])


def test_a_fault_after_the_decision_leaves_one_record(
    tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]
) -> None:
    with bench(tmp_path_factory.mktemp("fault"), database) as voice:
        voice.platform.kill_kamailio()
        script = voice.platform.config.run_dir / engine.SCRIPT
        script.write_text(script.read_text("utf-8") + _FAULT, "utf-8")
        voice.platform.start_kamailio()
        x = voice.number()
        voice.bind(x, A, B)
        caller = Scenario(A.national).invite(str(x), headers=("X-Fault: yes",)).expect(100, optional=True)
        voice.call(caller.expect(500).fail_ack(str(x)), None)
        decided = voice.events(CallEventKind.DECIDED, x)
        ended = voice.events(CallEventKind.ENDED, x)
        assert [event.reason for event in decided] == [None], decided
        assert [(event.reason, event.sip_status, event.ended_by) for event in ended] == [
            ("internal_error", 500, "platform")
        ]
        voice.call(calling(A, x).request("BYE").expect(200), answering(B).expect_request("BYE").reply(200))
