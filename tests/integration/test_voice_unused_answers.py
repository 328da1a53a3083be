"""An answer that is not passed on: the callee is acknowledged and hung up on, and nobody else is called."""

from collections.abc import Callable, Iterator

import pytest

from qibai.config import Peer
from qibai.testing.sipp import Scenario
from recorder_tools import RecorderProcess
from voice_tools import CALLEE_AT, CALLER_AT, DEAD_AT, A, B, Bench, UdpPeer, answering, bench, calling

pytestmark = pytest.mark.voice
_NEXT_PORT = 5079


def _peers(port: int) -> list[Peer]:
    return [
        Peer(name="west", host=CALLEE_AT, port=port),
        Peer(name="next", host=DEAD_AT, port=_NEXT_PORT, priority=5),
        Peer(name="east", host=CALLER_AT, priority=-1),
    ]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with (
        bench(tmp_path_factory.mktemp("unused"), database, _peers) as made,
        RecorderProcess(
            made.platform.config.home,
            QIBAI_NODE="test",
            QIBAI_VOICE_MEDIA="true",
            QIBAI_STORE_DSN=made.platform.config.store.dsn,
        ),
    ):
        yield made


@pytest.mark.parametrize(
    "headers",
    [(f"Content-Length : {B.national}x",), ("Via: SIP/2.0/UDP [;",), ("CSeq: 1 INVITE",)],
    ids=["length", "via", "cseq"],
)
def test_an_unreadable_answer_is_ended(voice: Bench, headers: tuple[str, ...]) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(180).expect(502)
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180).pause(50)
    callee.reply(200, sdp=True, headers=headers).expect_request("ACK").expect_request("BYE").reply(200)
    with UdpPeer((DEAD_AT, _NEXT_PORT)) as spare:
        voice.call(caller.fail_ack(str(x)), callee)
    assert b"INVITE" not in spare.methods
    (end,) = voice.ends(x)
    assert (end.reason, end.sip_status, end.ended_by) == ("answer_unusable", 502, "platform")


def test_the_end_is_noted_when_the_bye_is_answered(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller, callee = calling(A, x), answering(B)
    caller.pause(50).request("BYE").expect(500).request("BYE").expect(200)
    callee.expect_request("BYE").reply(500).expect_request("BYE").reply(200)
    voice.call(caller, callee)
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")


def test_after_the_end_nothing_is_opened_again(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller, callee = calling(A, x), answering(B)
    caller.request("BYE").expect(200).request("UPDATE").expect(481)
    seen = voice.call(caller, callee.expect_request("BYE").reply(200))
    assert not any(text.startswith("UPDATE ") for text in seen.callee)
