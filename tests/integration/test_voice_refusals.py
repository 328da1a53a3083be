"""Calls and messages that the platform refuses, answers itself, or sends another way."""

import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from qibai.config import Peer
from qibai.core.events import CallEventKind
from qibai.core.numbering import Number700
from qibai.store.loss_counts import read_losses
from qibai.testing.platform import free_port, wait_for
from qibai.testing.sipp import Scenario
from qibai.voice.engine import program
from voice_tools import (
    CALLEE_AT,
    CALLER_AT,
    DEAD_AT,
    STRANGER_AT,
    A,
    B,
    Bench,
    C,
    UdpPeer,
    answering,
    bench,
    calling,
    peers,
)

pytestmark = pytest.mark.voice

NOWHERE = "host=127.0.0.1 port=9 dbname=none"


def flags(command: list[str]) -> list[str]:
    """The states of the dispatcher's destinations."""
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5).stdout
    return re.findall(r"FLAGS: (\w+)", said)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("refusals"), database) as made:
        yield made


def refused(called: str, status: int, *, headers: tuple[str, ...] = ()) -> Scenario:
    return (
        Scenario(A.national)
        .invite(called, headers=headers)
        .expect(100, optional=True)
        .expect(status)
        .fail_ack(called)
    )


def early(voice: Bench, called: Number700) -> list[tuple[str | None, int | None, str | None]]:
    """What is recorded of calls that were refused before a decision."""
    found = voice.events(CallEventKind.REFUSED, called)
    return [(event.reason, event.sip_status, event.caller_peer) for event in found]


def test_not_bound(voice: Bench) -> None:
    x = voice.number()
    seen = voice.call(refused(str(x), 404), None)
    assert "Reason: Q.850;cause=1\n" in seen.caller[-1]
    (event,) = voice.events(CallEventKind.DECIDED, x)
    assert (event.reason, event.sip_status) == ("not_bound", 404)
    assert event.caller_peer == "east"


def test_order_ended(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B, ends_in=timedelta(seconds=-1))
    seen = voice.call(refused(str(x), 410), None)
    assert seen.caller[-1].startswith("SIP/2.0 410 Gone\n")
    assert "Reason: Q.850;cause=22\n" in seen.caller[-1]


def test_caller_is_not_a_party(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, B, A)
    seen = voice.call(refused(str(x), 403), None)
    assert "Reason: Q.850;cause=21\n" in seen.caller[-1]


def test_no_700_number(voice: Bench) -> None:
    voice.call(refused("4008001234", 404), None)


def test_untrusted_peer(voice: Bench) -> None:
    """An address that is no peer's gets 403 without a decision; its record says where it called from."""
    x = voice.number()
    voice.bind(x, A, B)
    stranger = voice.agent(
        refused(str(x), 403), "stranger", (STRANGER_AT, free_port(STRANGER_AT)), calls=True
    )
    stranger.wait()
    assert not voice.events(CallEventKind.DECIDED, x)
    (event,) = voice.events(CallEventKind.REFUSED, x)
    assert (event.reason, event.sip_status, event.caller_peer) == ("source_unknown", 403, STRANGER_AT)
    assert event.caller is None and event.code == x.code.value


def test_asserted_identity_counts_before_from(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(C.national).invite(str(x), asserted=str(A)).expect(100, optional=True)
    caller.expect(180, optional=True).expect(200).ack().request("BYE").expect(200)
    voice.call(caller, answering(B).expect_request("BYE").reply(200))


def test_loop(voice: Bench) -> None:
    """A request that carries our own Via has been here before."""
    x = voice.number()
    voice.bind(x, A, B)
    host, port = voice.here
    ours = f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKround"
    voice.call(refused(str(x), 482, headers=(ours,)), None)
    assert early(voice, x) == [("loop", 482, "east")]


def test_unknown_extension(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    seen = voice.call(refused(str(x), 420, headers=("Require: replaces",)), None)
    assert "Unsupported: replaces\n" in seen.caller[-1]
    assert early(voice, x) == [("extension_unsupported", 420, "east")]


def test_session_interval_too_small(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    headers = ("Supported: timer", "Session-Expires: 30")
    seen = voice.call(refused(str(x), 422, headers=headers), None)
    assert "Min-SE: 90\n" in seen.caller[-1]
    assert early(voice, x) == [("session_interval_too_small", 422, "east")]


def test_session_timer_is_asked_for(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    seen = voice.call(calling(A, x).request("BYE").expect(200), answering(B).expect_request("BYE").reply(200))
    assert "Session-Expires: 1800\n" in seen.callee[0]


def test_callee_rejects_token_of_nobody(voice: Bench) -> None:
    """A request within a call that we know nothing of."""
    host, port = voice.here
    caller = Scenario(A.national)
    caller.invite("700123456780001")
    bye = f"BYE sip:{host}:{port};qb=AQxx"
    first = caller.steps[0].replace("INVITE sip:700123456780001@[remote_ip]:[remote_port]", bye)
    caller.steps[0] = first.replace("CSeq: 1 INVITE", "CSeq: 1 BYE")
    voice.call(caller.expect(481), None)


def test_options(voice: Bench) -> None:
    caller = Scenario(A.national).invite("ping", sdp=False)
    caller.steps[0] = caller.steps[0].replace("INVITE sip:", "OPTIONS sip:").replace("1 INVITE", "1 OPTIONS")
    seen = voice.call(caller.expect(200), None)
    assert "Allow: INVITE, ACK" in seen.caller[-1]


def test_store_down(voice: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without its database the platform says 503 and when to come again."""
    with bench(tmp_path_factory.mktemp("down"), lambda: NOWHERE, media=False) as down:
        x = down.number()
        seen = down.call(refused(str(x), 503), None)
        (event,) = down.events(CallEventKind.DECIDED, x)
    assert (event.reason, event.sip_status) == ("store_unavailable", 503)
    assert "Retry-After: 5\n" in seen.caller[-1]
    assert "Reason: Q.850;cause=41\n" in seen.caller[-1]


def test_a_damaged_number_refuses_its_own_call_alone(voice: Bench) -> None:
    """No Retry-After: the peer must not hold back the calls to other numbers."""
    x = voice.number()
    voice.bind(x, A, B, damage=lambda sealed: sealed[:-1] + bytes((sealed[-1] ^ 1,)))
    seen = voice.call(refused(str(x), 500), None)
    assert "Retry-After" not in seen.caller[-1]
    assert early(voice, x) == [("internal_error", 500, "east")]


def test_a_key_that_this_node_lacks_is_told_apart(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B, damage=lambda sealed: b"\x7f\x7f\x7f\x7f" + sealed[4:])
    voice.call(refused(str(x), 503), None)
    (event,) = voice.events(CallEventKind.DECIDED, x)
    assert (event.reason, event.sip_status) == ("key_unknown", 503)


def two_peers(callee_port: int) -> list[Peer]:
    """A first choice that is of no use, and the callee."""
    first = Peer(name="first", host=DEAD_AT, port=callee_port, priority=20, number_format="national")
    return [first, *peers(callee_port)]


def test_fail_over(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> None:
    """The first peer answers 503: the call goes to the second, as a message of its own."""
    with bench(tmp_path_factory.mktemp("over"), database, two_peers) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        first = Scenario(B.national).expect_request("INVITE", first=True).reply(503).expect_request("ACK")
        refusing = voice.agent(first, "first", (DEAD_AT, voice.callee[1]))
        seen = voice.call(
            calling(A, x).pause(30).request("BYE").expect(200),
            answering(B).expect_request("BYE").reply(200),
        )
        refusing.wait()
        assert refusing.received[0].startswith(f"INVITE sip:{B.national}@{DEAD_AT}:")
        assert seen.callee[0].startswith(f"INVITE sip:{B.e164}@{CALLEE_AT}:")
        assert CALLER_AT not in seen.callee[0]
        (ended,) = voice.ends(x)
        assert ended.callee_peer == "west"
        assert [event.gave_up for event in voice.events(CallEventKind.HANDED_ON, x)] == ["503 first"]


def test_dead_tcp_peer(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> None:
    """Nobody listens at the peer: the caller is told in its own headers."""

    def dead(callee_port: int) -> list[Peer]:
        return [
            Peer(name="dead", host=DEAD_AT, port=callee_port, transport="tcp"),
            Peer(name="east", host=CALLER_AT, priority=-1),
        ]

    with bench(tmp_path_factory.mktemp("dead"), database, dead, media=False) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        voice.call(refused(str(x), 503), None)


def test_second_peer_when_the_first_has_no_listener(
    tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]
) -> None:
    """A TCP peer that refuses connections costs nothing: the call goes to the next at once."""

    def half_dead(callee_port: int) -> list[Peer]:
        return [
            Peer(name="dead", host=DEAD_AT, port=callee_port, transport="tcp", priority=20),
            *peers(callee_port),
        ]

    with bench(tmp_path_factory.mktemp("half"), database, half_dead) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        seen = voice.call(
            calling(A, x).request("BYE").expect(200), answering(B).expect_request("BYE").reply(200)
        )
        assert seen.callee[0].startswith(f"INVITE sip:{B.e164}@{CALLEE_AT}:")
        assert len(voice.events(CallEventKind.DECIDED, x)) == 1


def test_probed_peers(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> None:
    """A peer that does not answer OPTIONS gets no calls; one that does, gets them."""
    with bench(
        tmp_path_factory.mktemp("probe"), database, two_peers, media=False, probe_interval_s=1
    ) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        with UdpPeer(voice.callee) as peer:
            wait_for(lambda: b"OPTIONS" in peer.methods, "a probe")
            command = [
                program("kamcmd"),
                "-s",
                f"unix:{voice.platform.config.run_dir}/kamailio.ctl",
                "dispatcher.list",
            ]
            wait_for(lambda: "IP" in flags(command) and "AP" in flags(command), "the first peer's end")
            voice.call(refused(str(x), 486), None)
        wait_for(lambda: {one[0] for one in flags(command)} == {"I"}, "the end of both")
        voice.call(refused(str(x), 503), None)
        decided = [(event.reason, event.sip_status) for event in voice.events(CallEventKind.DECIDED, x)]
        assert ("no_peer", 503) in decided


def test_a_message_that_cannot_be_read_has_a_record(voice: Bench) -> None:
    """A header that may stand once stands twice; Kamailio itself does not mind."""
    x = voice.number()
    voice.call(
        refused(
            str(x),
            400,
            headers=(
                "Session-Expires: 1800",
                "Session-Expires: 1800",
            ),
        ),
        None,
    )
    assert early(voice, x) == [("sip_malformed", 400, "east")]


def test_a_flood_of_refused_calls_has_few_records_and_is_counted(
    tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]
) -> None:
    folder = tmp_path_factory.mktemp("flood")
    with bench(folder, database, media=False, workers=1, refused_records_per_minute=2) as voice:
        numbers = [voice.number() for _ in range(5)]
        for x in numbers:
            voice.call(refused(str(x), 404), None)
        kept = [event for x in numbers for event in voice.events(CallEventKind.DECIDED, x)]
        unrecorded, _ = read_losses(voice.platform.config.run_dir)["refusals_unrecorded"]
        assert unrecorded > 0 and len(kept) + unrecorded == len(numbers)
