"""What a party sends from its own address: RTP passes, and nothing that could say who it is."""

import asyncio
import re
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from media_tools import hears, mouth, port_of, ports_of
from qibai.testing.platform import free_port
from qibai.testing.sipp import Scenario
from raw_sip import raw_agent
from voice_tools import CALLEE_AT, CALLER_AT, HERE, A, B, Bench, bench, hang_up

pytestmark = pytest.mark.voice
_NAME = f"sip:{A.e164}@{CALLER_AT}".encode()
_ITEM = b"\x01" + bytes([len(_NAME)]) + _NAME + bytes(4 - (len(_NAME) + 2) % 4)
_CHUNK = struct.pack("!I", 0x5EED) + _ITEM
_CNAME = struct.pack("!BBH", 0x81, 202, len(_CHUNK) // 4) + _CHUNK
#: Each says the caller's number and address.
_OTHERS = {
    "STUN": struct.pack("!HHI12s", 1, 4 + len(_NAME), 0x2112A442, b"q" * 12)
    + struct.pack("!HH", 6, len(_NAME))
    + _NAME,
    "ZRTP": b"\x10\x00\x00\x01ZRTP" + struct.pack("!I", 0x5EED) + _NAME,
    "DTLS": b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", len(_NAME)) + _NAME,
    "text": _NAME,
    "a keep-alive": b"\r\n\r\n" + _NAME,
    "UDPTL": b"\x00\x01" + bytes([len(_NAME)]) + _NAME,
    "RTCP": struct.pack("!BBHI", 0x80, 201, 1, 0x5EED) + _CNAME,
    "RTCP that begins with its name": _CNAME,
    "a goodbye": struct.pack("!BBHI", 0x81, 203, 1, 0x5EED) + _CNAME,
    "a report of an application": struct.pack("!BBHI4s", 0x80, 204, 2 + len(_NAME) // 4, 1, b"name") + _NAME,
    "another version of RTP": struct.pack("!BBHII", 0x40, 8, 1, 160, 0x5EED) + _NAME,
}


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("contents"), database) as made:
        yield made


def test_nothing_but_rtp_passes(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    with mouth(CALLER_AT) as near, mouth(CALLEE_AT) as far:
        caller = Scenario(A.national, port=port_of(near)).invite(str(x)).expect(100, optional=True)
        caller.expect(200).ack().expect_request("BYE").reply(200)
        callee = Scenario(B.national, port=port_of(far)).expect_request("INVITE", first=True)
        callee.reply(200, sdp=True, retrans=True).expect_request("ACK").expect_request("BYE").reply(200)

        def meanwhile() -> None:
            voice.wait_set_up()
            from_caller, from_callee = ports_of(voice)
            hears(near, far, from_callee, b"here")
            hears(far, near, from_caller, b"first")
            for packet in _OTHERS.values():
                near.sendto(packet, (HERE, from_caller))
                near.sendto(packet, (HERE, from_caller + 1))
            assert set(hears(far, near, from_caller, b"last")) <= {b"first", b"last"}
            for number in (13, 101, 96, 63):  # comfort noise, digits, a dynamic type, the last before RTCP's
                _passes(near, far, from_caller, number)
            asyncio.run(hang_up(voice, x))

        voice.call(caller, callee, meanwhile=meanwhile)


def _passes(near: socket.socket, far: socket.socket, port: int, payload: int) -> None:
    """Another type of payload is sound as well, with a mark and without."""
    word = b"type %d" % payload
    for mark in (0, 0x80):
        near.sendto(struct.pack("!BBHII", 0x80, payload | mark, 1, 160, 0x5EED) + word, (HERE, port))
    assert word in hears(far, near, port, b"after %d" % payload)


@pytest.mark.parametrize(
    "media",
    ["m=image 18002 udptl t38", "m=audio 18002 UDP/TLS/RTP/SAVP 8", "m=audio 18002 UDP/TLS/RTP/SAVPF 8"],
)
def test_media_that_takes_more_than_rtp_is_refused(voice: Bench, media: str) -> None:
    """The other side is offered it with port 0, and answers with what is left; ICE and ZRTP are not shown."""
    x = voice.number()
    voice.bind(x, A, B)
    more = "a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\na=ice-ufrag:1381\r\na=zrtp-hash:1.10 fe30\r\n"
    with (
        raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as near,
        raw_agent(voice.callee, voice.here) as far,
    ):
        near.request(
            b"INVITE",
            f"sip:{x}@{HERE}".encode(),
            from_=b"<sip:%b@test>;tag=near" % A.national.encode(),
            headers=(
                b"P-Asserted-Identity: <sip:%b@test>" % A.national.encode(),
                b"Content-Type: application/sdp",
            ),
            body=near.sdp + more.encode() + media.encode() + b"\r\n",
        )
        invite = far.take(b"INVITE ")
        far.reply(invite, b"486 Busy Here")
        near.take(b"SIP/2.0 486")
    text = invite.decode()
    assert [line.split()[1] == "0" for line in re.findall(r"^m=.*", text, re.MULTILINE)] == [False, True]
    assert not re.search(r"^a=(candidate|ice|zrtp)", text, re.MULTILINE)
