"""No RTCP of one side reaches the other, in whatever shape it comes: it names its sender (SDES CNAME).

RTCP in RTP's own port: ``test_voice_media_contents``.
"""

import re
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from qibai.core.numbering import Msisdn
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import wait_for
from qibai.testing.sipp import Scenario
from voice_tools import CALLEE_AT, CALLER_AT, A, B, Bench, bench

pytestmark = pytest.mark.voice

SSRC = 77
PACKETS = 15  #: twice as many still fit into the buffer of a port for media
TALK_MS = 4_000


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("rtcp"), database) as made:
        yield made


class Ear:
    """A telephone's RTP port and the one above it; what comes in is kept by the kernel until it is read."""

    def __init__(self, at: str, name: Msisdn) -> None:
        self.name = name
        while True:
            self.rtp, self.rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            self.rtp.bind((at, 0))
            self.port = int(self.rtp.getsockname()[1])
            if self.port % 2 == 0:
                try:
                    self.rtcp.bind((at, self.port + 1))
                    break
                except OSError:
                    pass
            self.rtp.close()
            self.rtcp.close()
        self.there = ("", 0)  #: where the platform takes this side's media

    def reads(self, sdp: str) -> None:
        host, port = re.search(r"^c=IN IP4 (\S+)", sdp, re.M), re.search(r"^m=audio (\d+)", sdp, re.M)
        assert host is not None and port is not None
        self.there = (host[1], int(port[1]))

    def talk(self) -> None:
        for n in range(PACKETS):
            self.rtp.sendto(struct.pack("!BBHII", 0x80, 8, n, n * 160, SSRC) + b"\xd5" * 160, self.there)

    def tell(self, packet: bytes) -> None:
        self.rtcp.sendto(packet, (self.there[0], self.there[1] + 1))

    def heard(self, of: socket.socket) -> list[bytes]:
        of.setblocking(False)
        found = []
        while True:
            try:
                found.append(of.recv(2048))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def reports(who: Msisdn, at: str) -> list[bytes]:
    """RTCP as telephones send it, with and without a report at its head (RFC 3550 §6.1, RFC 5506)."""
    cname = f"sip:{who.e164}@{at}".encode()
    item = b"\x01" + bytes([len(cname)]) + cname + b"\0"
    item += b"\0" * (-len(item) % 4)
    sdes = struct.pack("!BBHI", 0x81, 202, 1 + len(item) // 4, SSRC) + item
    rr = struct.pack("!BBHI", 0x80, 201, 1, SSRC)
    bye = struct.pack("!BBHI", 0x81, 203, 1, SSRC)
    app = struct.pack("!BBHI4s", 0x80, 204, 3 + len(item) // 4 - 1, SSRC, b"NAME") + item
    feedback = struct.pack("!BBHII", 0x81, 206, 2, SSRC, SSRC)
    return [rr + sdes, sdes, bye + sdes, rr + sdes + bye, app, feedback + sdes]


def test_reports_end_at_the_platform(voice: Bench) -> None:
    near, far = Ear(CALLER_AT, A), Ear(CALLEE_AT, B)
    x = voice.number()
    voice.bind(x, A, B)
    caller = Scenario(A.national, near.port).invite(str(x)).expect(100, optional=True)
    caller.expect(180, optional=True).expect(200).ack().pause(TALK_MS).request("BYE").expect(200)
    callee = Scenario(B.national, far.port).expect_request("INVITE", first=True)
    callee.reply(200, sdp=True, retrans=True).expect_request("ACK").expect_request("BYE").reply(200)

    def talk() -> None:
        voice.wait_set_up()
        callee_side, caller_side = voice.latest
        far.reads(next(text for text in callee_side.received if text.startswith("INVITE ")))
        near.reads(next(text for text in caller_side.received if text.startswith("SIP/2.0 200")))
        for ear, at in ((near, CALLER_AT), (far, CALLEE_AT)):
            ear.talk()
            for packet in reports(ear.name, at):
                ear.tell(packet)
            ear.talk()  # what was sent before has gone its way once this has come through
        heard: dict[Ear, list[bytes]] = {near: [], far: []}

        def both() -> bool:
            for ear in heard:
                heard[ear] += ear.heard(ear.rtp)
            return all(len(sounds) >= 2 * PACKETS for sounds in heard.values())

        wait_for(both, "the sound of both")
        for ear, other, place in ((near, B, CALLEE_AT), (far, A, CALLER_AT)):
            checker = LeakChecker({"the other": other}, {"its address": place})
            for packet in heard[ear] + ear.heard(ear.rtcp):
                assert checker.scan(packet, "media") == []
            assert ear.heard(ear.rtcp) == []

    try:
        voice.call(caller, callee, meanwhile=talk)
    finally:
        near.close()
        far.close()
