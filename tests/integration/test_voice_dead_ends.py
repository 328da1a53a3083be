"""Requests within a call whose way ends at a closed TCP port, at the platform itself, or at a dead peer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs
from test_voice_octets import _Call, hang_up

from qibai.config import Peer
from qibai.core.numbering import Number700
from qibai.testing.platform import free_port, wait_for
from qibai.testing.sipp import Scenario
from raw_sip import RawAgent, contact, header, raw_agent
from voice_tools import CALLER_AT, A, B, Bench, bench, listening, peers

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("dead_ends"), database) as made:
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


@pytest.mark.parametrize("of_platform", [False, True], ids=["closed TCP port", "platform"])
@pytest.mark.parametrize("as_route", [False, True], ids=["contact", "route"])
def test_the_callee_is_reached_at_its_peer(  # noqa: PLR0917  # fixtures
    voice: Bench, near: RawAgent, far: RawAgent, x: Number700, as_route: bool, of_platform: bool
) -> None:
    host, port = voice.here
    place = b"%b:%d" % (host.encode(), port) if of_platform else far.place + b";transport=tcp"
    call = _Call(voice, near, x)
    call.invite()
    wrong = b"Record-Route: <sip:%b;lr>" % place if as_route else b"Contact: <sip:b@%b>" % place
    far.reply(far.take(b"INVITE "), b"200 OK", wrong, body=far.sdp, contact=as_route)
    call.answered(near.take(b"SIP/2.0 200"))
    assert header(far.take(b"ACK "), b"Via").startswith(b"SIP/2.0/UDP ")
    hang_up(call, far)
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")


@pytest.mark.parametrize("of_platform", [False, True], ids=["closed TCP port", "platform"])
def test_the_caller_is_reached_at_its_peer(
    voice: Bench, far: RawAgent, x: Number700, of_platform: bool
) -> None:
    host, port = voice.here
    with raw_agent((CALLER_AT, 5060), voice.here) as near:  # where the peer of the callers is
        near.reached_at = b"%b:%d" % (host.encode(), port) if of_platform else near.place + b";transport=tcp"
        call = _Call(voice, near, x)
        call.call_id = str(x).encode()  # the port is the same in each of these tests
        call.invite()
        asked = far.take(b"INVITE ")
        far.reply(asked, b"200 OK", body=far.sdp)
        call.answered(near.take(b"SIP/2.0 200"))
        far.take(b"ACK ")
        far.request(
            b"BYE",
            contact(asked),
            call_id=header(asked, b"Call-ID"),
            from_=header(asked, b"To") + b";tag=callee",
            to=header(asked, b"From"),
        )
        near.reply(near.take(b"BYE "), b"200 OK", contact=False)
        far.take(b"SIP/2.0 200 ")
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "callee")


def tcp_peers(callee_port: int) -> list[Peer]:
    west, east = peers(callee_port)
    return [structs.replace(west, transport="tcp"), east]


def test_a_bye_that_goes_nowhere_ends_the_call(tmp_path: Path, database: Callable[[], str]) -> None:
    """The callee's side went away during the call: who hangs up is gone all the same (RFC 3261 §15.1.1)."""
    with bench(tmp_path, database, tcp_peers) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        callee = (
            Scenario(B.national)
            .expect_request("INVITE", first=True)
            .reply(200, sdp=True)
            .expect_request("ACK")
        )
        agent = voice.agent(callee, "callee", voice.callee, transport="t1")
        wait_for(lambda: listening(voice.callee, "t1"), "the callee")
        with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as near:
            call = _Call(voice, near, x)
            call.invite()
            call.answered(near.take(b"SIP/2.0 200"))
            agent.wait()
            call.ask(b"BYE", 5)
            near.take(b"SIP/2.0 408 ")
        (end,) = voice.ends(x)
        assert (end.reason, end.ended_by) == ("answered", "caller")
