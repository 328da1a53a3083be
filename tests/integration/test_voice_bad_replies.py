"""Replies that cannot be read: nothing of them reaches the other side, which gets a failure instead."""

from collections.abc import Callable, Iterator

import pytest

from qibai.testing.sipp import Scenario
from voice_tools import A, B, Bench, answering, bench, calling

pytestmark = pytest.mark.voice

#: A header that no two readers understand alike: the whole message is refused.
BAD = (f"Content-Length : {B.national}x",)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bad"), database) as made:
        yield made


@pytest.mark.parametrize("status", [200, 486, 302])
def test_final_reply_to_the_invite(voice: Bench, status: int) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(180).expect(502)
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180).pause(50)
    callee.reply(status, sdp=status == 200, headers=BAD)
    seen = voice.call(caller.fail_ack(str(x)), callee.expect_request("ACK") if status != 200 else callee)
    assert [text.split()[1] for text in seen.caller] == ["100", "180", "502"]
    assert [event.sip_status for event in voice.ends(x)] == [502]


def test_provisional_reply(voice: Bench) -> None:
    """Its status alone passes; the call goes on."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(180).expect(200).ack()
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180, headers=BAD).pause(50)
    callee.reply(200, sdp=True, retrans=True).expect_request("ACK").expect_request("BYE").reply(200)
    seen = voice.call(caller.request("BYE").expect(200), callee)
    assert [text.partition("\n")[0] for text in seen.caller][:3] == [
        "SIP/2.0 100 Trying",
        "SIP/2.0 180 Ringing",
        "SIP/2.0 200 OK",
    ]


@pytest.mark.parametrize("by_caller", [True, False], ids=["caller", "callee"])
def test_reply_within_the_call(voice: Bench, by_caller: bool) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller, callee = calling(A, x), answering(B)
    asker, other = (caller, callee) if by_caller else (callee, caller)
    asker.pause(50).request("UPDATE").expect(502).request("BYE").expect(502)
    other.expect_request("UPDATE").reply(200, headers=BAD).expect_request("BYE").reply(200, headers=BAD)
    voice.call(caller, callee)
