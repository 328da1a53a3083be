"""The leak checker catches each planted leak, says where, and stays quiet on random data."""

import base64
import random
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from qibai.core.numbering import Msisdn
from qibai.testing.capture import Capture, Packet, streams
from qibai.testing.leaks import LeakChecker

HIDDEN = Msisdn("+8615927364518")
OWN = b"+8613940582716"
MIDDLE = b"700112345674321"
CALL_ID = b"a84b4c76e66710@caller.example"
ADDRESS = "127.83.29.47"
DIGITS = HIDDEN.national.encode()


@pytest.fixture(scope="module")
def checker() -> LeakChecker:
    return LeakChecker({"callee": HIDDEN}, {"callee's address": ADDRESS}, [OWN, MIDDLE, CALL_ID])


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))


def _bcd(text: str, swap: bool) -> bytes:
    text += "f" * (len(text) % 2)
    return bytes.fromhex("".join(text[i : i + 2][:: -1 if swap else 1] for i in range(0, len(text), 2)))


PLANTED = {
    "national": DIGITS,
    "E.164": b"<sip:+8615927364518@a>",
    "00 form": b"008615927364518",
    "tel URI with separators": b"tel:+86-159-2736-4518;phone-context=x",
    "display name": b'"159 2736 4518" <sip:x@y>',
    "dots and brackets": b"(159)2736.4518",
    "one digit escaped": b"sip:1592%3736451%38@a",
    "all digits escaped": "".join(f"%{d:02x}" for d in DIGITS).encode(),
    "escaped twice": quote("".join(f"%{d:02x}" for d in DIGITS)).encode(),
    "quoted pairs": rb'"\1\5\9\2\7\3\6\4\5\1\8"',
    "quoted-printable": b"=31=35=39=32=37=33=36=34=35=31=38",
    "entities": b"".join(b"&#%d;" % d for d in DIGITS),
    "UTF-16, little": HIDDEN.national.encode("utf-16-le"),
    "UTF-16, big": HIDDEN.national.encode("utf-16-be"),
    "full-width digits": "".join(chr(0xFF10 + int(d)) for d in HIDDEN.national).encode(),
    "base64, at 0": base64.b64encode(DIGITS),
    "base64, at 1": b"x=" + base64.b64encode(b"." + DIGITS + b".."),
    "base64, at 2": b"x=" + base64.b64encode(b":+86" + DIGITS).rstrip(b"="),
    "base64 inside other letters": b"zqibai" + base64.b64encode(DIGITS),
    "base64url of bytes": base64.urlsafe_b64encode(b"\xff\xfe\xfd" + DIGITS + b"\xfb\xff"),
    "hex": DIGITS.hex().encode(),
    "hex, odd place": b"a" + DIGITS.hex().upper().encode(),
    "hex with colons": DIGITS.hex(":").encode(),
    "hex in base64": base64.b64encode(DIGITS.hex().encode()),
    "reversed": DIGITS[::-1],
    "BCD": _bcd(HIDDEN.national, False),
    "BCD after 86": _bcd("86" + HIDDEN.national, False),
    "BCD, swapped": _bcd(HIDDEN.national, True),
    "BCD, swapped, odd": _bcd("0" + HIDDEN.national, True),
    "BCD in hex": _bcd(HIDDEN.national, True).hex().encode(),
    "integer": int(DIGITS).to_bytes(8, "big"),
    "integer in hex": f"{int(DIGITS):x}".encode(),
    "last nine digits": DIGITS[2:],
    "XOR with its own number": _xor(DIGITS, OWN[3:]),
    "XOR with its own number, whole": _xor(b"+86" + DIGITS, OWN[2:] + OWN),
    "XOR with the 700 number, base64": base64.b64encode(_xor(DIGITS, MIDDLE)),
    "XOR of URIs, as uac does": base64.b64encode(_xor(b"sip:+8615927364518@a", b"sip:700112345674321@a")),
    "XOR with a Call-ID, hex": _xor(b"+86" + DIGITS, CALL_ID).hex().encode(),
    "address": b"c=IN IP4 127.83.29.47\r\n",
    "address escaped": b"127%2E83.29.4%37",
    "address packed": b"\x01\x02" + socket.inet_aton(ADDRESS) + b"\x03",
    "address in hex": socket.inet_aton(ADDRESS).hex().encode() + b"00",
    "address in base64": base64.b64encode(b"sip:" + ADDRESS.encode()),
    "SDES CNAME": b"\x81\xca\x00\x0a\x00\x00\x00\x01\x01\x1csip:+8615927364518@127.9.9.9\x00",
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_leak_is_found(checker: LeakChecker, name: str) -> None:
    noise = random.Random(name).randbytes(60)
    leaks = checker.scan(b"INVITE sip:x SIP/2.0\r\nX-A: " + PLANTED[name] + b"\r\n" + noise, "here")
    assert leaks, name
    assert str(leaks[0]).startswith("here: callee")


def test_no_false_alarm_on_random_data(checker: LeakChecker) -> None:
    rng = random.Random(7)
    for size in (20, 160, 400, 1_200):
        for _ in range(40):
            data = rng.randbytes(size)
            assert checker.scan(data, "random") == []
            assert checker.scan(base64.b64encode(data), "random") == []
            assert checker.scan(data.hex().encode(), "random") == []
            assert checker.scan("".join(rng.choices("0123456789", k=size)).encode(), "digits") == []


def test_its_own_number_is_no_leak(checker: LeakChecker) -> None:
    text = b"INVITE sip:" + MIDDLE + b"@127.83.29.4 SIP/2.0\r\nFrom: <sip:" + OWN + b"@127.83.29.147>\r\n"
    assert checker.scan(text + b"Call-ID: " + CALL_ID, "own") == []


def test_numbers_that_begin_alike_give_no_false_alarm() -> None:
    close = LeakChecker({"callee": Msisdn("+8613800138000")}, {}, [b"+8613800138001"])
    assert close.scan(bytes(400) + b"\x01" + bytes(400), "zeros") == []


def test_packets_between_the_parties_themselves_are_leaks(checker: LeakChecker) -> None:
    direct = Packet("127.0.0.1", ADDRESS, "UDP", 4000, 4002, 0, b"\x80" + bytes(20))
    [leak] = checker.scan_packets([direct], "caller")
    assert leak.encoding == "the packet's own address"


def test_a_number_split_over_tcp_segments_is_found(checker: LeakChecker) -> None:
    halves = [
        Packet("127.0.0.1", "127.0.0.2", "TCP", 5060, 5070, 9, b"27364518@x"),
        Packet("127.0.0.1", "127.0.0.2", "TCP", 5060, 5070, 1, b"<sip:159"),
    ]
    assert streams(halves) == {("127.0.0.1", 5060, "127.0.0.2", 5070): b"<sip:15927364518@x"}
    assert any("TCP stream" in leak.where for leak in checker.scan_packets(halves, "caller"))


def test_files_are_searched(checker: LeakChecker, tmp_path: Path) -> None:
    for name in ("national", "hex", "UTF-16, little", "base64, at 0", "base64, at 1", "BCD", "integer"):
        (tmp_path / "page").write_bytes(random.Random(3).randbytes(9_000) + PLANTED[name] + bytes(50))
        assert checker.scan_files([tmp_path]), name
    (tmp_path / "page").write_bytes(random.Random(3).randbytes(100_000))
    assert checker.scan_files([tmp_path]) == []


def test_a_capture_holds_all_that_was_sent(tmp_path: Path) -> None:
    with (
        Capture(tmp_path / "a.pcap", f"host {ADDRESS}") as capture,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        sender.bind((ADDRESS, 0))
        for number in range(20):
            sender.sendto(b"message %d" % number, ("127.0.0.1", 9))
    sent = [packet.payload for packet in capture.packets if packet.proto == "UDP"]
    assert sent == [b"message %d" % number for number in range(20)]
