"""rtpengine hangs while calls come: each INVITE and each BYE is answered, and calls go on once it does."""

import itertools
import re
import secrets
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from media_tools import hears, media_port, mouth, port_of, say
from qibai.core.bencode import decode, encode
from qibai.core.numbering import Number700
from qibai.supervise import probes
from qibai.testing.platform import free_port, wait_for
from raw_sip import RawAgent, contact, header, raw_agent
from voice_tools import CALLER_AT, A, B, Bench, bench

pytestmark = pytest.mark.voice
_CALLS = 60
#: Waiting for rtpengine in each call, two workers would need half a minute; SIP gives up after 32 s.
_PATIENCE_S = 12
_SOUND = 400  #: packets that a halt of eight seconds keeps waiting
_SILENT_S = 15  #: rtpengine keeps a call without media for as long, or for 40 s more than one may ring


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("hung")
    with bench(folder, database, workers=2, media_timeout_s=_SILENT_S) as made:
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


class _Calls:
    """Calls from ``near`` to ``far``, told apart by a name."""

    def __init__(self, voice: Bench, near: RawAgent, far: RawAgent, x: Number700) -> None:
        self.near, self.far = near, far
        self.uri = f"sip:{x}@{voice.here[0]}".encode()

    def _from(self, name: bytes) -> bytes:
        return b"<sip:%b@test>;tag=%b" % (A.national.encode(), name)

    def invite(self, name: bytes, body: bytes | None = None) -> None:
        self.near.request(
            b"INVITE",
            self.uri,
            call_id=name,
            from_=self._from(name),
            headers=(
                b"P-Asserted-Identity: <sip:%b@test>" % A.national.encode(),
                b"Content-Type: application/sdp",
            ),
            body=self.near.sdp if body is None else body,
        )

    def set_up(self, name: bytes, offer: bytes = b"", answer_with: bytes = b"") -> bytes:
        """Returns the 200 that the caller got."""
        self.invite(name, offer)
        self.far.reply(self.far.take(b"INVITE "), b"200 OK", body=answer_with or self.far.sdp)
        answer = self.near.take(b"SIP/2.0 200")
        self.ask(b"ACK", 1, name, answer)
        self.far.take(b"ACK ")
        return answer

    def ask(self, method: bytes, cseq: int, name: bytes, answer: bytes, body: bytes = b"") -> None:
        self.near.request(
            method,
            contact(answer),
            call_id=name,
            from_=self._from(name),
            to=header(answer, b"To"),
            cseq=cseq,
            headers=(b"Content-Type: application/sdp",) if body else (),
            body=body,
        )

    def hold(self, cseq: int, name: bytes, answer: bytes) -> bool:
        """Offer a hold within the call, which needs rtpengine; returns False if it was refused with 503."""
        self.ask(b"INVITE", cseq, name, answer, self.near.sdp + b"a=sendonly\r\n")
        while True:
            for request in self.far.waiting():
                if request.startswith(b"INVITE "):
                    self.far.reply(request, b"200 OK", body=self.far.sdp + b"a=recvonly\r\n")
                    self.near.take(b"SIP/2.0 200")
                    self.ask(b"ACK", cseq, name, answer)
                    self.far.take(b"ACK ")
                    return True
            for reply in self.near.waiting():
                if header(reply, b"CSeq") == b"%d INVITE" % cseq and reply.startswith(b"SIP/2.0 503"):
                    return False
            time.sleep(0.01)

    def hang_up(self, name: bytes, answer: bytes) -> None:
        self.ask(b"BYE", 99, name, answer)
        self.far.reply(self.far.take(b"BYE "), b"200 OK")
        self.near.take(b"SIP/2.0 200")


@pytest.fixture
def calls(voice: Bench, near: RawAgent, far: RawAgent, x: Number700) -> _Calls:
    return _Calls(voice, near, far, x)


def test_nobody_waits_for_an_rtpengine_that_hangs(voice: Bench, calls: _Calls) -> None:
    """Calls end and are refused at once meanwhile; the very calls that stood go on afterwards."""
    near, far = calls.near, calls.far
    standing = {name: calls.set_up(name) for name in (b"ends", b"ends-too", b"stays")}
    voice.platform.signal_rtpengine(signal.SIGSTOP)
    try:
        wait_for(lambda: not probes.media_answers(voice.platform.config), "the halt")
        begun = time.monotonic()
        names = [b"refused-%d" % number for number in range(_CALLS)]
        for name in names:
            calls.invite(name)
        for name in (b"ends", b"ends-too"):
            calls.ask(b"BYE", 5, name, standing[name])
        waiting = {*names, b"ends", b"ends-too"}
        while waiting:
            assert time.monotonic() < begun + _PATIENCE_S, f"{len(waiting)} have heard nothing"
            for request in far.waiting():
                assert request.startswith(b"BYE "), "no call is set up"
                far.reply(request, b"200 OK")
            for answer in near.waiting():
                name = header(answer, b"Call-ID")
                if name.startswith(b"refused") and not answer.startswith(b"SIP/2.0 100"):
                    assert answer.startswith(b"SIP/2.0 503")
                    assert b"\r\nRetry-After: " in answer
                    waiting.discard(name)
                elif answer.startswith(b"SIP/2.0 200"):
                    waiting.discard(name)
            time.sleep(0.01)
    finally:
        voice.platform.signal_rtpengine(signal.SIGCONT)
    begun = time.monotonic()
    for cseq in itertools.count(10):
        assert time.monotonic() < begun + _PATIENCE_S, "rtpengine is not asked again"
        if calls.hold(cseq, b"stays", standing[b"stays"]):
            break
    assert media_calls(voice) != []
    calls.hang_up(b"stays", standing[b"stays"])
    calls.hang_up(b"new", calls.set_up(b"new"))
    # What rtpengine was not asked to forget, it forgets by itself.
    wait_for(lambda: media_calls(voice) == [], "the end of all media", 60)


class _Sound:
    """Where a party takes and sends sound."""

    def __init__(self, agent: RawAgent) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((agent.at[0], 0))
        self.sdp = agent.sdp.replace(b"20000", b"%d" % self.socket.getsockname()[1])
        self._sent = 0

    def sends_to(self, voice: Bench, text: bytes) -> None:
        """A packet to the port that the description in ``text`` names."""
        named = re.search(rb"m=audio ([0-9]+)", text)
        assert named
        self._sent += 1
        packet = struct.pack("!BBHII", 0x80, 8, self._sent, self._sent * 160, 7) + b"\xd5" * 160
        self.socket.sendto(packet, (voice.here[0], int(named[1])))

    def hears(self) -> bool:
        """Returns whether sound has come within a tenth of a second; it is taken."""
        heard = False
        while select.select([self.socket], [], [], 0.1)[0]:
            self.socket.recv(2_000)
            heard = True
        return heard


@pytest.fixture
def sounds(near: RawAgent, far: RawAgent) -> Iterator[tuple[_Sound, _Sound, _Sound]]:
    """The caller's, the callee's, and another one of the caller's."""
    made = _Sound(near), _Sound(far), _Sound(near)
    yield made
    for sound in made:
        sound.socket.close()


@pytest.mark.parametrize("offered", ["before", "meanwhile"])
def test_a_refused_offer_changes_no_sound_when_rtpengine_was_away(
    voice: Bench, calls: _Calls, sounds: tuple[_Sound, _Sound, _Sound], offered: str
) -> None:
    """rtpengine hears that the callee refused an offer, or that the platform did, as soon as it answers."""
    near, far = calls.near, calls.far
    ours, theirs, moved = sounds
    name = b"refused-%b" % offered.encode()
    answer = calls.set_up(name, ours.sdp, theirs.sdp)
    theirs.sends_to(voice, next(text for text in reversed(far.seen) if text.startswith(b"INVITE ")))
    assert ours.hears()
    if offered == "before":
        calls.ask(b"INVITE", 10, name, answer, moved.sdp)
        asked = far.take(b"INVITE ")
    voice.platform.signal_rtpengine(signal.SIGSTOP)
    try:
        wait_for(lambda: not probes.media_answers(voice.platform.config), "the halt")
        if offered == "before":
            calls.invite(b"other-%b" % name)
            near.take(b"SIP/2.0 503")
            far.reply(asked, b"488 Not Acceptable Here")
            near.take(b"SIP/2.0 488")
        else:
            calls.ask(b"INVITE", 10, name, answer, moved.sdp)
            near.take(b"SIP/2.0 503")
    finally:
        voice.platform.signal_rtpengine(signal.SIGCONT)
    wait_for(lambda: probes.media_answers(voice.platform.config), "rtpengine")

    def sounds_as_before() -> bool:
        calls.near.request(b"OPTIONS", calls.uri, from_=b"<sip:any@test>;tag=any")  # any message will do
        near.take(b"SIP/2.0 200")
        moved.hears()
        theirs.sends_to(voice, next(text for text in reversed(far.seen) if text.startswith(b"INVITE ")))
        ours.sends_to(voice, answer)
        return ours.hears() and theirs.hears()

    wait_for(sounds_as_before, "sound")
    assert not moved.hears()
    calls.hang_up(name, answer)


def media_calls(voice: Bench) -> object:
    """The calls that rtpengine has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(5)
        control.connect(("127.0.0.1", voice.platform.config.voice.media_ng_port))
        control.send(secrets.token_hex(4).encode() + b" " + encode({b"command": b"list"}))
        answer = decode(control.recv(65_535).partition(b" ")[2])
    assert isinstance(answer, dict)
    return answer[b"calls"]


def test_a_call_is_heard_again_after_a_halt_with_much_sound(voice: Bench, calls: _Calls) -> None:
    """The packets that wait in a socket meanwhile must not be more than rtpengine reads at once."""
    with mouth(CALLER_AT) as caller, mouth(voice.callee[0]) as callee:
        calls.invite(b"loud", at_port(calls.near.sdp, port_of(caller)))
        invite = calls.far.take(b"INVITE ")
        calls.far.reply(invite, b"200 OK", body=at_port(calls.far.sdp, port_of(callee)))
        answer = calls.near.take(b"SIP/2.0 200")
        calls.ask(b"ACK", 1, b"loud", answer)
        calls.far.take(b"ACK ")
        to_caller, to_callee = media_port(answer.decode()), media_port(invite.decode())
        sides = ((callee, caller, to_caller), (caller, callee, to_callee))
        for number, (receiver, sender, port) in enumerate(sides):
            hears(receiver, sender, port, b"before-%d" % number)
        voice.platform.signal_rtpengine(signal.SIGSTOP)
        try:
            for _ in range(_SOUND):
                for _, sender, port in sides:
                    say(sender, port, b"meanwhile")
        finally:
            voice.platform.signal_rtpengine(signal.SIGCONT)
        for number, (receiver, sender, port) in enumerate(sides):
            hears(receiver, sender, port, b"after-%d" % number)
    assert "Too many packets" not in (voice.platform.log.parent / "rtpengine.log").read_text()
    calls.hang_up(b"loud", answer)


def at_port(sdp: bytes, port: int) -> bytes:
    """A description whose audio goes to another port."""
    return re.sub(rb"m=audio \d+", b"m=audio %d" % port, sdp)
