"""Calls between two SIP user agents through the platform: all modes, both ways, and how they end."""

import re
import socket
from collections.abc import Callable, Iterator

import pytest

from qibai.core.events import CallEventKind
from qibai.core.numbering import Msisdn, Number700
from qibai.testing.platform import free_port, wait_for
from qibai.testing.sipp import Scenario
from voice_tools import (
    CALLEE_AT,
    CALLER_AT,
    FROM_GROUP,
    TO_GROUP,
    A,
    B,
    Bench,
    C,
    UdpPeer,
    answering,
    bench,
    calling,
    hang_up_in_turn,
)

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("voice"), database) as made:
        yield made


def short_call(voice: Bench, caller: Msisdn, callee: Msisdn, dialled: Number700, shown: Number700) -> None:
    """One call, ended by the caller; the callee was asked for by its number and saw ``shown`` alone."""
    seen = voice.call(
        calling(caller, dialled).pause(30).request("BYE").expect(200),
        answering(callee).expect_request("BYE").reply(200),
    )
    invite = seen.callee[0]
    assert invite.startswith(f"INVITE sip:{callee.e164}@")
    assert f"From: <sip:{shown}@" in invite
    assert f"P-Asserted-Identity: <sip:{shown}@" in invite
    assert [e.ended_by for e in voice.ends(dialled)] == ["caller"]


def test_axb_both_ways(voice: Bench) -> None:
    """Both sides dial X and both sides see X."""
    x = voice.number()
    voice.bind(x, A, B)
    voice.bind(x, B, A)
    short_call(voice, A, B, x, x)
    seen = voice.call(
        calling(B, x).pause(30).request("BYE").expect(200),
        answering(A).expect_request("BYE").reply(200),
        parties=(B, A),
    )
    assert seen.callee[0].startswith(f"INVITE sip:{A.e164}@")


def test_axyb_both_ways(voice: Bench) -> None:
    """A dials X and B sees Y; B dials Y and A sees X."""
    x, y = voice.number(), voice.number()
    voice.bind(x, A, B, y)
    voice.bind(y, B, A, x)
    short_call(voice, A, B, x, y)
    seen = voice.call(
        calling(B, y).pause(30).request("BYE").expect(200),
        answering(A).expect_request("BYE").reply(200),
        parties=(B, A),
    )
    assert f"From: <sip:{x}@" in seen.callee[0]


@pytest.mark.parametrize("has_y", [False, True], ids=["GXB", "GXYB"])
def test_group_both_ways(voice: Bench, has_y: bool) -> None:
    """B's call to the group reaches its first member until another one calls; then that one."""
    x = voice.number()
    y = voice.number() if has_y else x
    id = voice.bind(x, A, B, y, flags=FROM_GROUP)
    voice.bind(x, C, B, y, binding_id=id, flags=FROM_GROUP)
    voice.bind(y, B, A, x, binding_id=id, flags=TO_GROUP)
    bye = ("BYE",)
    first = voice.call(
        calling(B, y).request(*bye).expect(200),
        answering(A).expect_request("BYE").reply(200),
        parties=(B, A),
    )
    assert first.callee[0].startswith(f"INVITE sip:{A.e164}@")
    voice.call(
        calling(C, x).request(*bye).expect(200),
        answering(B).expect_request("BYE").reply(200),
        parties=(C, B),
    )
    second = voice.call(
        calling(B, y).request(*bye).expect(200),
        answering(C).expect_request("BYE").reply(200),
        parties=(B, C),
    )
    assert second.callee[0].startswith(f"INVITE sip:{C.e164}@")


def test_callee_hangs_up(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    voice.call(
        calling(A, x).expect_request("BYE").reply(200),
        answering(B).pause(30).request("BYE").expect(200),
    )
    assert [e.ended_by for e in voice.ends(x)] == ["callee"]
    (answered,) = {e.call_id: e for e in voice.events(CallEventKind.ANSWERED, x)}.values()
    assert answered.legs and answered.media_id


def test_cancel(voice: Bench) -> None:
    """CANCEL reaches the callee, its free text does not."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = (
        Scenario(A.national)
        .invite(str(x))
        .expect(100, optional=True)
        .expect(180)
        .cancel(str(x))
        .expect(200)
        .expect(487)
        .fail_ack(str(x))
    )
    callee = (
        Scenario(B.national)
        .expect_request("INVITE", first=True)
        .reply(180)
        .expect_request("CANCEL")
        .reply(200, contact=False)
        .reply_to_invite(487)
        .expect_request("ACK")
    )
    seen = voice.call(caller, callee)
    assert "hung up" not in "".join(seen.callee)
    invite, cancel, _ = seen.callee
    for name in ("From: ", "To: ", "Call-ID: "):  # RFC 3261 §9.1
        (line,) = [line for line in invite.splitlines() if line.startswith(name)]
        assert line in cancel.splitlines()
    (ended,) = voice.ends(x)
    assert (ended.reason, ended.ended_by) == ("cancelled", "caller")


def test_cancel_crosses_the_answer(voice: Bench) -> None:
    """The callee answered all the same: the caller hears of it, and ends the call as RFC 3261 §9.1 has it."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(180).cancel(str(x))
    caller.expect(200).expect(200).ack(cseq=1).request("BYE").expect(200)
    callee = Scenario(B.national, port=18_000).expect_request("INVITE", first=True).reply(180)
    callee.expect_request("CANCEL").reply(200, contact=False).reply_to_invite(200, sdp=True)
    voice.call(caller, callee.expect_request("ACK").expect_request("BYE").reply(200))
    (ended,) = voice.ends(x)
    assert (ended.reason, ended.ended_by) == ("answered", "caller")


def test_busy(voice: Bench) -> None:
    """The callee's own phrase does not pass, its status does."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(486).fail_ack(str(x))
    callee = (
        Scenario(B.national)
        .expect_request("INVITE", first=True)
        .reply(486, phrase=f"Busy {B.national}", headers=('Reason: Q.850;cause=17;text="call me"',))
        .expect_request("ACK")
    )
    seen = voice.call(caller, callee)
    assert seen.caller[-1].startswith("SIP/2.0 486 Busy Here\n")
    assert "Reason: Q.850;cause=17\n" in seen.caller[-1]
    assert [e.reason for e in voice.ends(x)] == ["busy"]


def test_nobody_answers(voice: Bench) -> None:
    """The ringing time-out: the callee is cancelled, the caller told in our own words."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = (
        Scenario(A.national)
        .invite(str(x))
        .expect(100, optional=True)
        .expect(180)
        .expect(408)
        .fail_ack(str(x))
    )
    callee = (
        Scenario(B.national)
        .expect_request("INVITE", first=True)
        .reply(180)
        .expect_request("CANCEL")
        .reply(200, contact=False)
        .reply_to_invite(487)
        .expect_request("ACK")
    )
    seen = voice.call(caller, callee)
    assert "Reason: Q.850;cause=19\n" in seen.caller[-1]
    assert [e.reason for e in voice.ends(x)] == ["no_answer"]


@pytest.mark.parametrize("by_caller", [True, False], ids=["by the caller", "by the callee"])
def test_hold_and_more_within_the_call(voice: Bench, by_caller: bool) -> None:
    """re-INVITE, UPDATE and INFO pass both ways; REFER does not."""
    x = voice.number()
    voice.bind(x, A, B)
    caller, callee = calling(A, x), answering(B)
    actor, other = (caller, callee) if by_caller else (callee, caller)
    held, resumed = actor.sdp("sendonly"), actor.sdp("sendrecv")
    dtmf = "Signal=5\r\nDuration=160"
    actor.pause(50)
    for body in (held, resumed):
        actor.request("INVITE", body=body).expect(100, optional=True).expect(200).ack().pause(50)
    other.expect_request("INVITE").reply(200, sdp=True, direction="recvonly").expect_request("ACK")
    other.expect_request("INVITE").reply(200, sdp=True).expect_request("ACK")
    actor.request("UPDATE").expect(200).request("INFO", body=dtmf, kind="application/dtmf-relay").expect(200)
    other.expect_request("UPDATE").reply(200).expect_request("INFO").reply(200, contact=False)
    refer = (f"Refer-To: <sip:{actor.number}@[local_ip]>",)
    actor.request("REFER", headers=refer).expect(405).request("BYE").expect(200)
    other.expect_request("BYE").reply(200)
    seen = voice.call(caller, callee)
    got = seen.callee if by_caller else seen.caller
    invites = [text for text in got if text.startswith("INVITE ")]
    assert "\na=sendonly\n" in invites[-2]
    assert "\nSignal=5\n" in next(text for text in got if text.startswith("INFO "))
    assert not any(text.startswith("REFER ") for text in got)


def test_several_phones_ring(voice: Bench) -> None:
    """A fork beyond us: each phone is a dialog of its own, and the call is with the one that answers."""
    x = voice.number()
    voice.bind(x, A, B)
    callee = Scenario(B.national, port=18_000).expect_request("INVITE", first=True)
    callee.reply(180, tag="desk").reply(183, sdp=True, tag="pocket").pause(50)
    callee.reply(200, sdp=True, retrans=True, tag="pocket").expect_request("ACK")
    seen = voice.call(
        calling(A, x).pause(30).request("BYE").expect(200), callee.expect_request("BYE").reply(200)
    )
    desk, pocket, answer = (
        next(found[1] for text in seen.caller if (found := to_tag(text, status)))
        for status in (180, 183, 200)
    )
    assert desk != pocket == answer
    for method in ("ACK ", "BYE "):
        request = next(text for text in seen.callee if text.startswith(method))
        assert re.search(r"^To: .*;tag=pocket$", request, re.MULTILINE)


def to_tag(text: str, status: int) -> re.Match[str] | None:
    """The To tag of a reply of that status."""
    if not text.startswith(f"SIP/2.0 {status} "):
        return None
    return re.search(r"^To: .*;tag=(\w+)$", text, re.MULTILINE)


def test_large_invite(voice: Bench) -> None:
    """Eight kilobytes in one UDP packet, half of them a description that has to come through."""
    x = voice.number()
    voice.bind(x, A, B)
    formats = range(96, 97 + 30)
    caller = Scenario(A.national).invite(str(x), headers=tuple(f"X-Pad: {n:0100d}" for n in range(40)))
    media = " ".join(map(str, formats))
    lines = "".join(f"a=rtpmap:{n} opus/48000/2\na=fmtp:{n} {'stereo=1;' * 10}\n" for n in formats)
    caller.steps[0] = caller.steps[0].replace("RTP/AVP 8 101", f"RTP/AVP 8 101 {media}")
    caller.steps[0] = caller.steps[0].replace("a=sendrecv", f"{lines}a=sendrecv")
    assert len(caller.steps[0]) > 8_000
    caller.expect(100, optional=True).expect(180).expect(200).ack()
    seen = voice.call(caller.request("BYE").expect(200), answering(B).expect_request("BYE").reply(200))
    assert all(f"\na=rtpmap:{n} opus/48000/2\n" in seen.callee[0] for n in formats)


def test_oversize_invite(voice: Bench) -> None:
    """More than a SIP message may hold (64 KiB): refused, or the connection is closed; others go on."""
    x = voice.number()
    voice.bind(x, A, B)
    host, port = voice.here
    with socket.create_connection((host, port), 10, (CALLER_AT, 0)) as caller:
        body = "v=0\r\n" + "a=pad\r\n" * 10_000
        head = (
            f"INVITE sip:{x}@{host}:{port} SIP/2.0\r\nVia: SIP/2.0/TCP {CALLER_AT};branch=z9hG4bKbig\r\n"
            f"From: <sip:{A}@{CALLER_AT}>;tag=big\r\nTo: <sip:{x}@{host}>\r\nCall-ID: big\r\n"
            f"CSeq: 1 INVITE\r\nContact: <sip:{CALLER_AT}>\r\nMax-Forwards: 70\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            caller.sendall((head + body).encode())
            answer = caller.recv(65_536)
        except ConnectionError:
            answer = b""
    assert answer == b"" or re.match(rb"SIP/2\.0 [45]", answer)
    assert not voice.events(CallEventKind.DECIDED, x)
    short_call(voice, A, B, x, x)


def test_tcp(voice: Bench) -> None:
    """A caller over TCP reaches a callee over UDP."""
    x = voice.number()
    voice.bind(x, A, B)
    voice.call(
        calling(A, x).pause(30).request("BYE").expect(200),
        answering(B).expect_request("BYE").reply(200),
        transport="t1",
    )


def test_bye_after_a_crash(voice: Bench) -> None:
    """Kamailio is killed and started anew in mid-call; the BYE still reaches the other side."""
    x = voice.number()
    voice.bind(x, A, B)

    def crash() -> None:
        voice.platform.kill_kamailio()
        voice.platform.start_kamailio()

    voice.call(
        calling(A, x).pause(2500).request("BYE").expect(200),
        answering(B).expect_request("BYE").reply(200),
        meanwhile=lambda: (voice.wait_set_up(), crash()),
    )
    assert [e.ended_by for e in voice.ends(x)] == ["caller"]


def test_ended_by_the_platform(voice: Bench) -> None:
    """The platform's BYEs end the call on both sides."""
    x = voice.number()
    voice.bind(x, A, B)
    voice.call(
        calling(A, x).expect_request("BYE").reply(200),
        answering(B).expect_request("BYE").reply(200),
        meanwhile=lambda: (
            voice.wait_set_up(),
            hang_up_in_turn(voice, voice.events(CallEventKind.ANSWERED, x)[0]),
        ),
    )


@pytest.mark.parametrize("by_caller", [True, False], ids=["caller", "callee"])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_side_that_moved_is_found(voice: Bench, method: str, by_caller: bool) -> None:
    """After a new Contact (RFC 3261 §12.2) the platform's BYE goes there, and not where the call began."""
    x = voice.number()
    voice.bind(x, A, B)
    at = CALLER_AT if by_caller else CALLEE_AT
    port = free_port(at)
    caller, callee = calling(A, x), answering(B)
    mover, other = (caller, callee) if by_caller else (callee, caller)
    body = mover.sdp() if method == "INVITE" else ""
    mover.pause(50).request(method, body=body, contact_port=port).expect(100, optional=True).expect(200)
    other.expect_request(method).reply(200, sdp=method == "INVITE")
    if method == "INVITE":
        mover.ack()
        other.expect_request("ACK")
    other.expect_request("BYE").reply(200)

    def end() -> None:
        wait_for(lambda: voice.events(CallEventKind.REFRESHED, x), "the refresh")
        hang_up_in_turn(voice, voice.events(CallEventKind.REFRESHED, x)[0])

    with UdpPeer((at, port)) as moved:
        voice.call(caller, callee, meanwhile=end)
        assert moved.methods == [b"BYE"]


def test_refused_change_leaves_the_call_as_it_was(voice: Bench) -> None:
    """A re-INVITE that the other side refuses is over with its ACK; the call goes on."""
    x = voice.number()
    voice.bind(x, A, B)
    caller = calling(A, x).pause(50)
    caller.request("INVITE", body=caller.sdp()).expect(100, optional=True).expect(488).ack_failure()
    callee = answering(B).expect_request("INVITE").reply(488).expect_request("ACK")
    seen = voice.call(caller.pause(700).request("BYE").expect(200), callee.expect_request("BYE").reply(200))
    assert sum(text.startswith("SIP/2.0 488") for text in seen.caller) == 1


def test_cancel_of_nothing(voice: Bench) -> None:
    voice.call(Scenario(A.national).cancel("700123456780001").expect(481), None)
