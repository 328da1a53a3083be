"""Two nodes of one platform: whichever gets a request of a running call handles it."""

import shutil
from collections.abc import Callable, Iterator

import msgspec
import pytest

from qibai.core.calls import fold
from qibai.core.events import CallEventKind
from qibai.testing.platform import Platform
from voice_tools import A, B, Bench, answering, bench, calling, spooled, voice_config

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("first"), database) as made:
        yield made


@pytest.fixture(scope="module")
def second(voice: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A node with the same database, keys and peers, and a spool and an rtpengine of its own."""
    first = voice.platform.config
    home = tmp_path_factory.mktemp("second") / "home"
    home.mkdir()
    shutil.copy(first.key_file, home / "keys.json")
    config = voice_config(home, voice.dsn, first.voice.peers)
    with Platform(msgspec.structs.replace(config, node="second")) as platform:
        yield platform


@pytest.mark.parametrize("by_caller", [True, False], ids=["by the caller", "by the callee"])
def test_a_call_goes_on_and_ends_through_the_other_node(
    voice: Bench, second: Platform, by_caller: bool
) -> None:
    """Set up by the first; hold, resume and BYE come to the second. Both spools make one record."""
    x = voice.number()
    voice.bind(x, A, B)
    caller, callee = calling(A, x), answering(B)
    actor, other = (caller, callee) if by_caller else (callee, caller)
    held, resumed = actor.sdp("sendonly"), actor.sdp("sendrecv")
    there = second.config.voice.host, second.config.voice.udp_port
    actor.pause(50).turn_to(*there)
    other.turn_to(*there)  # SIPp answers to where the call's first message came from, not by Via
    for body in (held, resumed):
        actor.request("INVITE", body=body).expect(100, optional=True).expect(200).ack().pause(50)
    other.expect_request("INVITE").reply(200, sdp=True, direction="recvonly").expect_request("ACK")
    other.expect_request("INVITE").reply(200, sdp=True).expect_request("ACK")
    actor.request("BYE").expect(200)
    other.expect_request("BYE").reply(200)
    seen = voice.call(caller, callee)
    got = seen.callee if by_caller else seen.caller
    assert "\na=sendonly\n" in [text for text in got if text.startswith("INVITE ")][-2]

    (decided,) = voice.events(CallEventKind.DECIDED, x)
    mine = [event for event in spooled(second) if event.call_id == decided.call_id]
    assert sorted(event.kind for event in mine) == [CallEventKind.ENDED, *[CallEventKind.REFRESHED] * 2]
    (record,) = fold([e for e in [*spooled(voice.platform), *mine] if e.call_id == decided.call_id]).values()
    assert record.end is not None and record.answered_at is not None
    assert (record.node, record.end.by) == ("test", "caller" if by_caller else "callee")
