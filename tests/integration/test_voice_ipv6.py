"""A platform whose peers, and media, speak IPv6."""

import asyncio
import re
from collections.abc import Callable, Iterator

import pytest

from qibai.config import Peer
from qibai.core.events import CallEventKind
from qibai.testing.platform import free_port
from qibai.testing.sipp import Scenario
from voice_tools import A, B, Bench, UdpPeer, answering, bench, calling, hang_up, hang_up_in_turn, wait_for

pytestmark = pytest.mark.voice
HOST = "::1"  # the one address of loopback


def both(callee_port: int) -> list[Peer]:
    """One peer on either transport: its calls come, and go, there."""
    return [Peer(name="carrier", host=HOST, port=callee_port)]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("six"), database, both, parties_at=(HOST, HOST), host=HOST) as made:
        yield made


@pytest.mark.parametrize("transport", ["u1", "t1"], ids=["UDP", "TCP"])
def test_a_call(voice: Bench, transport: str) -> None:
    """Each side's requests and media go to our own address, written as IPv6 is."""
    x, y = voice.number(), voice.number()
    voice.bind(x, A, B, y)
    seen = voice.call(
        calling(A, x).pause(30).request("BYE").expect(200),
        answering(B).expect_request("BYE").reply(200),
        transport=transport,
    )
    invite = seen.callee[0]
    assert invite.startswith(f"INVITE sip:{B.e164}@[{HOST}]:{voice.callee[1]};user=phone SIP/2.0\n")
    assert f"From: <sip:{y}@[{HOST}];user=phone>" in invite
    for text in (invite, next(text for text in seen.caller if text.startswith("SIP/2.0 200"))):
        assert re.search(rf"^Contact: <sip:\[{HOST}\]:{voice.here[1]};", text, re.MULTILINE)
        assert f"\nc=IN IP6 {HOST}\n" in text
        assert re.search(r"^m=audio (?!16000|18000)\d+ ", text, re.MULTILINE), "not the other side's port"


@pytest.mark.parametrize("in_turn", [False, True], ids=["at once", "in turn"])
def test_the_platform_ends_a_call(voice: Bench, in_turn: bool) -> None:
    """A peer has the address from which the platform ends calls: what it sends shows a badge."""
    x = voice.number()
    voice.bind(x, A, B)

    def end() -> None:
        wait_for(lambda: voice.events(CallEventKind.ANSWERED, x), "the answer's event")
        if in_turn:  # the call is over when the second BYE comes
            hang_up_in_turn(voice, *voice.events(CallEventKind.ANSWERED, x))
        else:
            asyncio.run(hang_up(voice, x))

    voice.call(
        calling(A, x).expect_request("BYE").reply(200),
        answering(B).expect_request("BYE").reply(200),
        meanwhile=end,
    )


def test_fail_over(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> None:
    """The first peer answers 503: the INVITE goes round through our own socket, to the second."""
    first = free_port(HOST)

    def two(callee_port: int) -> list[Peer]:
        return [Peer(name="first", host=HOST, port=first, priority=20), *both(callee_port)]

    with bench(
        tmp_path_factory.mktemp("over"), database, two, parties_at=(HOST, HOST), host=HOST, probe_interval_s=1
    ) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        with (
            UdpPeer((HOST, first), invite=b"503 Later") as peer,
            UdpPeer(voice.callee, invite=b"480 Away") as second,
        ):
            wait_for(lambda: b"OPTIONS" in peer.methods and b"OPTIONS" in second.methods, "probes")
            caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(480)
            voice.call(caller.fail_ack(str(x)), None)
            assert b"INVITE" in peer.methods
            assert b"INVITE" in second.methods
