"""An answer as gateways write it: no address above all media, and none for the media that it refuses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from qibai.testing.sipp import Scenario
from voice_tools import CALLEE_AT, CALLER_AT, HERE, A, B, Bench, bench

pytestmark = pytest.mark.voice


@dataclass(slots=True)
class _Described(Scenario):
    """A side with a description of its own."""

    description: str = ""

    def sdp(self, direction: str = "sendrecv") -> str:
        return self.description


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("refused-media"), database) as made:
        yield made


_OFFER = f"""v=0
o=- 1 1 IN IP4 {CALLER_AT}
s=-
c=IN IP4 {CALLER_AT}
t=0 0
m=audio 16000 RTP/AVP 8
a=rtpmap:8 PCMA/8000
m=video 16002 RTP/AVPF 96
a=rtpmap:96 H264/90000"""
_AUDIO = f"m=audio 18000 RTP/AVP 8\nc=IN IP4 {CALLEE_AT}\na=rtpmap:8 PCMA/8000\n"
_ANSWERS = {
    "without attributes": "m=video 0 RTP/AVPF 96",
    "with attributes": "m=video 0 RTP/AVPF 96\na=rtpmap:96 H264/90000\na=inactive",
    "of another protocol": "m=video 0 TCP/XYZ 96",
    "with an address": f"m=video 0 TCP/XYZ 96\nc=IN IP4 {CALLEE_AT}",
}


@pytest.mark.parametrize("answer", _ANSWERS.values(), ids=list(_ANSWERS))
def test_media_that_is_refused_needs_no_address(voice: Bench, answer: str) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller = _Described(A.national, description=_OFFER)
    caller.invite(str(x)).expect(100, optional=True).expect(180).expect(200).ack()
    caller.pause(50).request("BYE").expect(200)
    head = f"v=0\no=AudiocodesGW 1 1 IN IP4 {CALLEE_AT}\ns=Phone-Call\nt=0 0\n"
    callee = _Described(B.national, description=head + _AUDIO + answer)
    callee.expect_request("INVITE", first=True).reply(180).pause(20).reply(200, sdp=True, retrans=True)
    seen = voice.call(caller, callee.expect_request("ACK").expect_request("BYE").reply(200))
    told = next(text for text in seen.caller if text.startswith("SIP/2.0 200") and "\nm=audio " in text)
    assert f"\nc=IN IP4 {HERE}\n" in told
    assert "\nm=video 0 " in told
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")
