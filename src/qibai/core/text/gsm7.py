"""The GSM 7-bit alphabet and its extension table (3GPP TS 23.038 §6.2.1), and how septets are packed."""

import codecs
import re
from typing import Final

from qibai.core.errors import BadText

ESCAPE: Final = 0x1B
_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
_READ: Final = _BASIC.ljust(256, "\ufffe")  # what is beyond seven bits has no character
_WRITE: Final = {ord(char): septet for septet, char in enumerate(_BASIC)}
_ESCAPED: Final = {ord(char): "\x1b" + _BASIC[at] for at, char in _EXTENDED.items()}
_PAIR: Final = re.compile(rb"\x1b(.?)", re.DOTALL)


def encode_gsm7(text: str) -> bytes:
    """One septet a byte, two for a character of the extension table. Raise BadText for any other."""
    if "\x1b" in text:
        raise BadText
    try:
        return codecs.charmap_encode(text.translate(_ESCAPED), "strict", _WRITE)[0]
    except UnicodeEncodeError:
        raise BadText("the text has characters beyond the GSM 7-bit alphabet") from None


def decode_gsm7(data: bytes) -> str:
    """The text of unpacked septets. Raise BadText for a byte that is no septet.

    After an escape that nothing is defined for comes the default alphabet's character, as §6.2.1.1 wants;
    an escape that escapes nothing reads as a space.
    """
    try:
        return "".join(
            _extended(piece) if at % 2 else _plain(piece) for at, piece in enumerate(_PAIR.split(data))
        )
    except UnicodeDecodeError:
        raise BadText("the text is not in the GSM 7-bit alphabet") from None


def _plain(septets: bytes) -> str:
    return codecs.charmap_decode(septets, "strict", _READ)[0]


def _extended(octet: bytes) -> str:
    if not octet or octet[0] == ESCAPE:
        return " "
    return _EXTENDED.get(octet[0]) or _plain(octet)


def pack7(septets: bytes, fill_bits: int = 0) -> bytes:
    """Septets, one a byte, packed into octets from the lowest bit up, after so many bits of filling.

    Raise BadText for a byte that is no septet.
    """
    if septets and max(septets) > 0x7F:
        raise BadText
    packed, held, bits = bytearray(), 0, fill_bits
    for septet in septets:
        held |= septet << bits
        bits += 7
        if bits >= 8:
            packed.append(held & 0xFF)
            held >>= 8
            bits -= 8
    if bits and septets:
        packed.append(held)
    return bytes(packed)


def unpack7(octets: bytes, count: int, fill_bits: int = 0) -> bytes:
    """``count`` septets, one a byte, out of packed ones. Raise BadText when there are not so many."""
    if count < 0 or (count and fill_bits + 7 * count > 8 * len(octets)):
        raise BadText("the text is shorter than its length says")
    septets, held, bits = bytearray(), 0, -fill_bits
    for octet in octets:
        if bits < 0:  # the filling lies at the start of the first octet
            held, bits = octet >> -bits, 8 + bits
        else:
            held |= octet << bits
            bits += 8
        while bits >= 7 and len(septets) < count:
            septets.append(held & 0x7F)
            held >>= 7
            bits -= 7
        if len(septets) == count:
            break
    return bytes(septets)
