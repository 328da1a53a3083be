"""Encodings, headers and parts of short messages, by example."""

import shutil
import subprocess

import pytest

from qibai.core.text import (
    BadText,
    Concat,
    Encoding,
    Part,
    decode,
    encode,
    fitting,
    join,
    pack7,
    read_udh,
    split,
    unpack7,
    write_udh,
)

_ALPHABET = [*range(0x1B), *range(0x1C, 0x80)]
_EXTENDED = bytes((0x0A, 0x14, 0x28, 0x29, 0x2F, 0x3C, 0x3D, 0x3E, 0x40, 0x65))


def _perl_reads(data: bytes) -> str:
    program = "binmode STDIN; local $/; print Encode::encode('utf8', Encode::decode('gsm0338', <STDIN>))"
    done = subprocess.run(
        ["perl", "-MEncode", "-MEncode::GSM0338", "-e", program], input=data, capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.mark.skipif(shutil.which("perl") is None, reason="perl reads the alphabet a second time")
def test_the_alphabet_is_the_one_that_perl_reads() -> None:
    for data in (bytes(_ALPHABET), b"".join(b"\x1b" + bytes((octet,)) for octet in _EXTENDED)):
        assert decode(Part(data, Encoding.GSM7)) == _perl_reads(data)
        assert encode(_perl_reads(data), Encoding.GSM7) == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b\x65 5", "€ 5"),
        (b"\x00\x02", "@$"),
        (b"a\x1b", "a "),  # an escape that escapes nothing
        (b"\x1b\x1ba", " a"),  # reserved for a further table
        (b"\x1ba", "a"),  # not in the extension table: the default alphabet's character
    ],
)
def test_escapes_read_as_the_specification_says(data: bytes, text: str) -> None:
    assert decode(Part(data, Encoding.GSM7)) == text


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (Part(b"\x80", Encoding.GSM7), "an octet beyond seven bits"),
        (Part(b"\x00", Encoding.UCS2), "half a character"),
        (Part(b"\xd8\x3d", Encoding.UCS2), "half a surrogate pair"),
        (Part(b"\xff", Encoding.GBK), "no such character"),
        (Part(b"text", Encoding.BINARY), "no text"),
    ],
)
def test_what_cannot_be_read_is_refused(part: Part, why: str) -> None:
    with pytest.raises(BadText):
        decode(part)


def test_the_fitting_encoding() -> None:
    assert fitting("Ä price: 5 € [net]") is Encoding.GSM7
    assert fitting("价格") is Encoding.UCS2
    assert fitting("ç") is Encoding.UCS2  # only the capital is in the alphabet
    assert fitting("\x1b") is Encoding.UCS2


@pytest.mark.parametrize(
    ("text", "encoding"), [("中", Encoding.GSM7), ("中", Encoding.LATIN1), ("\ud800", Encoding.UCS2)]
)
def test_what_cannot_be_written_is_refused(text: str, encoding: Encoding) -> None:
    with pytest.raises(BadText):
        encode(text, encoding)


def test_septets_are_packed_as_networks_pack_them() -> None:
    assert pack7(b"hellohello").hex() == "e8329bfd4697d9ec37"
    assert unpack7(bytes.fromhex("e8329bfd4697d9ec37"), 10) == b"hellohello"
    assert pack7(b"A", fill_bits=1).hex() == "82"  # after a header of six octets
    assert len(pack7(b"x" * 153, fill_bits=1)) == 134
    with pytest.raises(BadText):
        unpack7(b"\x00", 2)
    with pytest.raises(BadText):
        pack7(b"\x80")


def test_headers_golden() -> None:
    assert write_udh(Concat(0xA5, 3, 2)).hex() == "050003a50302"
    assert write_udh(Concat(0xA55A, 3, 2, wide=True)).hex() == "060804a55a0302"
    assert read_udh(bytes.fromhex("050003a50302") + b"text") == (Concat(0xA5, 3, 2), b"text")
    assert read_udh(b"\x00text") == (None, b"text")


def test_of_a_header_only_the_place_passes() -> None:
    reply_address = bytes.fromhex("2209" + "0b91683108108300f0")
    unknown = bytes.fromhex("c70101")
    elements = reply_address + bytes.fromhex("0003010201") + unknown
    concat, rest = read_udh(bytes((len(elements),)) + elements + b"text")
    assert (concat, rest) == (Concat(1, 2, 1), b"text")


@pytest.mark.parametrize("place", ["0003010201", "0003010001", "0003010200", "0003010203", "00020102"])
def test_a_place_that_cannot_be_is_left_out(place: str) -> None:
    element = bytes.fromhex(place)
    concat, rest = read_udh(bytes((len(element),)) + element + b"text")
    assert rest == b"text"
    assert (concat is None) == (place != "0003010201")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes.fromhex("05000301"),  # longer than the message
        bytes.fromhex("050004010201"),  # an element longer than the header
        bytes.fromhex("0100"),  # half an element
        bytes.fromhex("060504158115810000"),  # ports of an application
        bytes.fromhex("03240101"),  # another alphabet
        bytes.fromhex("027000"),  # for the SIM
    ],
)
def test_broken_headers_and_those_of_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(BadText):
        read_udh(data)


@pytest.mark.parametrize(
    ("encoding", "wide", "header", "first"),
    [
        (Encoding.GSM7, False, True, 153),
        (Encoding.GSM7, True, True, 152),
        (Encoding.GSM7, False, False, 160),
        (Encoding.UCS2, False, True, 134),
        (Encoding.UCS2, True, True, 132),
        (Encoding.UCS2, False, False, 140),
        (Encoding.BINARY, True, True, 133),
    ],
)
def test_parts_are_as_long_as_networks_take_them(
    encoding: Encoding, wide: bool, header: bool, first: int
) -> None:
    parts = split(b"\0" + b"a" * 399, encoding, wide=wide, header=header, ref=0x12345)
    assert len(parts[0].data) == first
    assert parts[0].concat == Concat(0x2345 if wide else 0x45, len(parts), 1, wide)


def test_no_part_ends_within_a_character() -> None:
    for text, encoding in (("a" * 152 + "€" * 99, Encoding.GSM7), ("a" + "😀" * 99, Encoding.UCS2)):
        for part in split(text, encoding):
            decode(part)
    for part in split("a" + "中😀" * 99, Encoding.GBK):
        decode(part)


def test_what_fits_in_one_part_has_no_place() -> None:
    assert split("a" * 160, Encoding.GSM7) == [Part(b"a" * 160, Encoding.GSM7)]
    assert len(split("a" * 161, Encoding.GSM7)) == 2
    assert len(split("字" * 71, Encoding.UCS2)) == 2


def test_a_text_of_more_parts_than_can_be_counted_is_refused() -> None:
    assert len(split("a" * 153 * 255, Encoding.GSM7)) == 255
    with pytest.raises(BadText):
        split("a" * (153 * 255 + 1), Encoding.GSM7)


def test_parts_in_different_encodings_become_one() -> None:
    latin = Part(b"price ", Encoding.GSM7, Concat(1, 3, 1))
    first = Part("五".encode("utf-16-be"), Encoding.UCS2, Concat(1, 3, 2))
    last = Part("元".encode("gb18030"), Encoding.GBK, Concat(1, 3, 3))
    whole = join([last, latin, first, first])
    assert whole.encoding is Encoding.UCS2
    assert decode(whole) == "price 五元"


def test_parts_that_miss_or_do_not_belong_together_are_refused() -> None:
    one, two = split("a" * 161, Encoding.GSM7, ref=1)
    other = split("b" * 161, Encoding.GSM7, ref=2)[1]
    for parts in ([], [one], [one, one], [one, other]):
        with pytest.raises(BadText):
            join(parts)
    assert join([two, one]).data == b"a" * 161
