"""Where media may come from: the described address, or the one that is learnt; never a stranger's."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator

import msgspec
import pytest

from media_tools import heard, hears, mouth, port_of, ports_of, say
from qibai.config import Peer
from qibai.testing.sipp import Scenario
from voice_tools import (
    CALLEE_AT,
    CALLER_AT,
    DEAD_AT,
    HERE,
    STRANGER_AT,
    A,
    B,
    Bench,
    bench,
    hang_up,
    peers,
    wait_for,
)

pytestmark = pytest.mark.voice
_ELSEWHERE = CALLER_AT[:-1] + "77"  #: where a telephone behind NAT sends from


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("described"), database) as made:
        yield made


def _learnt_peers(port: int) -> list[Peer]:
    return [msgspec.structs.replace(peer, media_from="first") for peer in peers(port)]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("learnt"), database, _learnt_peers) as made:
        yield made


def _talk(voice: Bench, near: socket.socket, far: socket.socket, check: Callable[[int, int], object]) -> None:
    """A call whose descriptions name the sockets' ports; ``check`` gets the platform's own two."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national, port=port_of(near)).invite(str(x)).expect(100, optional=True)
    caller.expect(200).ack().expect_request("BYE").reply(200)
    callee = Scenario(B.national, port=port_of(far)).expect_request("INVITE", first=True)
    callee.reply(200, sdp=True, retrans=True).expect_request("ACK").expect_request("BYE").reply(200)

    def meanwhile() -> None:
        voice.wait_set_up()
        check(*ports_of(voice))
        asyncio.run(hang_up(voice, x))

    voice.call(caller, callee, meanwhile=meanwhile)


def test_a_stranger_is_heard_by_nobody(described: Bench) -> None:
    with mouth(CALLER_AT) as near, mouth(CALLEE_AT) as far, mouth(STRANGER_AT) as stranger:

        def check(from_caller: int, from_callee: int) -> None:
            for port, sender, receiver in ((from_caller, near, far), (from_callee, far, near)):
                for _ in range(5):
                    say(stranger, port, b"stranger")
                said = hears(receiver, sender, port, b"first")
                for _ in range(5):
                    say(stranger, port, b"stranger")
                said += hears(receiver, sender, port, b"second")
                assert set(said) <= {b"first", b"second"}
            assert not heard(stranger)

        _talk(described, near, far, check)


def test_another_port_of_the_described_address_is_not_heard(described: Bench) -> None:
    with mouth(CALLER_AT) as near, mouth(CALLEE_AT) as far, mouth(CALLER_AT) as other:

        def check(from_caller: int, from_callee: int) -> None:
            for _ in range(5):
                say(other, from_caller, b"other")
            assert set(hears(far, near, from_caller, b"described")) == {b"described"}
            assert b"back" in hears(near, far, from_callee, b"back")
            assert not heard(other)

        _talk(described, near, far, check)


def test_a_learnt_address_is_kept(learnt: Bench) -> None:
    with (
        mouth(CALLER_AT) as near,
        mouth(CALLEE_AT) as far,
        mouth(STRANGER_AT) as stranger,
        mouth(_ELSEWHERE) as elsewhere,
        mouth(DEAD_AT) as beyond,
    ):

        def check(from_caller: int, from_callee: int) -> None:
            say(elsewhere, from_caller, b"here I am")
            say(beyond, from_callee, b"here I am")
            assert b"there" in hears(elsewhere, beyond, from_callee, b"there")
            for receiver, sender, port in (
                (beyond, elsewhere, from_caller),
                (elsewhere, beyond, from_callee),
            ):
                for _ in range(5):
                    say(stranger, port, b"stranger")
                assert b"stranger" not in hears(receiver, sender, port, b"behind NAT")
            assert not heard(stranger)
            heard(near), heard(far)
            hears(elsewhere, beyond, from_callee, b"more")
            assert b"more" not in heard(near), "the learnt address has taken the described one's place"

        _talk(learnt, near, far, check)


def test_no_report_passes_between_learnt_addresses(learnt: Bench) -> None:
    """RTCP names its sender (SDES CNAME, RFC 3550 §6.5.1)."""
    with (
        mouth(CALLER_AT) as near,
        mouth(CALLEE_AT) as far,
        mouth(CALLER_AT) as near_rtcp,
        mouth(CALLEE_AT) as far_rtcp,
    ):

        def report(name: bytes) -> bytes:
            item = b"\x01" + bytes([len(name)]) + name
            chunk = struct.pack("!I", 0x5EED) + item + bytes(4 - len(item) % 4)
            head = struct.pack("!BBHI", 0x80, 201, 1, 0x5EED)
            return head + struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk

        def check(from_caller: int, from_callee: int) -> None:
            told = [text for agent in learnt.latest for text in agent.received if "\nm=audio " in text]
            assert all(f"\na=rtcp:9 IN IP4 {HERE}\n" in text for text in told)
            hears(far, near, from_caller, b"a")
            hears(near, far, from_callee, b"b")
            for _ in range(10):
                near_rtcp.sendto(report(A.national.encode()), (HERE, from_caller + 1))
                far_rtcp.sendto(report(B.national.encode()), (HERE, from_callee + 1))
            hears(far, near, from_caller, b"c")
            hears(near, far, from_callee, b"d")
            for receiver, name in ((near_rtcp, B), (far_rtcp, A)):
                while True:
                    try:
                        got = receiver.recv(2_048)
                    except BlockingIOError:
                        break
                    assert name.national.encode() not in got

        _talk(learnt, near, far, check)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("by_caller", [True, False], ids=["by the caller", "by the callee"])
@pytest.mark.parametrize("source", ["described", "learnt"])
def test_a_refused_offer_changes_nothing(
    source: str, by_caller: bool, method: str, request: pytest.FixtureRequest
) -> None:
    """The session stays as it was agreed (RFC 3261 §14.1, RFC 3311 §5.2): media goes on to the old port."""
    voice: Bench = request.getfixturevalue(source)
    x = voice.number()
    voice.bind(x, A, B)
    with (
        mouth(CALLER_AT) as near,
        mouth(CALLEE_AT) as far,
        mouth(CALLER_AT if by_caller else CALLEE_AT) as new,
    ):
        caller = Scenario(A.national, port=port_of(near)).invite(str(x)).expect(100, optional=True)
        caller.expect(200).ack()
        callee = Scenario(B.national, port=port_of(far)).expect_request("INVITE", first=True)
        callee.reply(200, sdp=True, retrans=True).expect_request("ACK")
        actor, other = (caller, callee) if by_caller else (callee, caller)
        actor.port = port_of(new)
        actor.pause(200).request(method, body=actor.sdp())
        if method == "INVITE":
            actor.expect(100, optional=True)
        actor.expect(488)
        other.expect_request(method).reply(488, contact=False)
        if method == "INVITE":
            actor.ack_failure()
            other.expect_request("ACK")
        caller.expect_request("BYE").reply(200)
        callee.expect_request("BYE").reply(200)

        def meanwhile() -> None:
            voice.wait_set_up()
            from_caller, from_callee = ports_of(voice)
            hears(far, near, from_caller, b"a")
            hears(near, far, from_callee, b"b")
            acting = voice.latest[1 if by_caller else 0]
            wait_for(lambda: any(t.startswith("SIP/2.0 488") for t in acting.received), "the refusal")
            heard(near), heard(far), heard(new)
            if by_caller:
                hears(near, far, from_callee, b"still")
                hears(far, near, from_caller, b"mine")
            else:
                hears(far, near, from_caller, b"still")
                hears(near, far, from_callee, b"mine")
            assert not heard(new)
            asyncio.run(hang_up(voice, x))

        voice.call(caller, callee, meanwhile=meanwhile)
