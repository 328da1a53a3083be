"""rtpengine dead or mute: no call is set up without it, and it comes back without a restart."""

import signal
from collections.abc import Callable, Iterator

import pytest

from qibai.core.errors import Unavailable
from qibai.core.events import CallEventKind
from qibai.core.numbering import Number700
from qibai.testing.platform import wait_for
from qibai.testing.sipp import Scenario
from recorder_tools import RecorderProcess
from voice_tools import A, B, Bench, answering, bench, calling

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with (
        bench(tmp_path_factory.mktemp("media"), database) as made,
        RecorderProcess(
            made.platform.config.home,
            QIBAI_NODE="test",
            QIBAI_VOICE_MEDIA="true",
            QIBAI_STORE_DSN=made.platform.config.store.dsn,
        ),
    ):
        yield made


def refused(voice: Bench, x: Number700) -> str:
    """The refusal of a call to ``x`` that nobody hears of on the callee's side."""
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(503).fail_ack(str(x))
    seen = voice.call(caller, None)
    return next(text for text in seen.caller if text.startswith("SIP/2.0 503"))


def goes_through(voice: Bench, x: Number700) -> bool:
    """Whether a call is answered and ended; the callee waits for no longer than a failure takes."""
    callee = voice.agent(answering(B).expect_request("BYE").reply(200), "callee", voice.callee)
    try:
        voice.call(calling(A, x).request("BYE").expect(200), None)
        callee.wait()
    except Unavailable:
        return False
    finally:
        callee.stop()
    return True


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["mute", "dead"])
def test_calls_wait_for_media(voice: Bench, how: signal.Signals) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    voice.platform.signal_rtpengine(how)
    try:
        for _ in range(2):
            text = refused(voice, x)
            assert "\nRetry-After: 5" in text
            assert "\nReason: Q.850;cause=41" in text
    finally:
        if how is signal.SIGSTOP:
            voice.platform.signal_rtpengine(signal.SIGCONT)
        else:
            voice.platform.start_rtpengine()
    assert {event.reason for event in voice.events(CallEventKind.DECIDED, x)} == {"media_unavailable"}
    wait_for(lambda: goes_through(voice, x), "a call after rtpengine is back", 20)


def test_an_answer_that_finds_no_media_is_ended(voice: Bench) -> None:
    """rtpengine dies while the callee rings: both are let go, and the record says why."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(180).expect(503)
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180).pause(1_500)
    callee.reply(200, sdp=True).expect_request("ACK").expect_request("BYE").reply(200)

    def die() -> None:
        wait_for(lambda: voice.events(CallEventKind.RINGING, x), "the ringing")
        voice.platform.signal_rtpengine(signal.SIGKILL)

    try:
        voice.call(caller.fail_ack(str(x)), callee, meanwhile=die)
    finally:
        voice.platform.start_rtpengine()
    (end,) = voice.ends(x)
    assert (end.reason, end.sip_status, end.ended_by) == ("media_unavailable", 503, "platform")
