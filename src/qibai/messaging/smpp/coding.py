"""SMPP's data_coding (3.4 §5.2.19) and the encodings of a part."""

from collections.abc import Mapping
from typing import Final

from qibai.core.text import BadText, Encoding, Part, decode, encode

_ASCII: Final = 0x01
_CONTROLS: Final = frozenset(range(0x20)) - frozenset(b"\t\n\r")

_SMPP: Final[Mapping[int, Encoding]] = {
    0x00: Encoding.GSM7,  # the message centre's default alphabet: TS 23.038's, as on the radio
    _ASCII: Encoding.LATIN1,
    0x02: Encoding.BINARY,
    0x03: Encoding.LATIN1,
    0x04: Encoding.BINARY,
    0x08: Encoding.UCS2,
    0x0F: Encoding.GBK,  # reserved by the document; what message centres in China mean by it
}
_ALPHABETS: Final = (Encoding.GSM7, Encoding.BINARY, Encoding.UCS2)  #: TS 23.038 §4, bits 3 and 2

#: How each encoding is named towards peers.
DATA_CODING: Final[Mapping[Encoding, int]] = {
    Encoding.GSM7: 0x00,
    Encoding.LATIN1: 0x03,
    Encoding.BINARY: 0x04,
    Encoding.UCS2: 0x08,
    Encoding.GBK: 0x0F,
}


#: What data_coding 0 means on a link, as ``alphabet`` in its configuration says.
_DEFAULT: Final[Mapping[str, Encoding]] = {
    "gsm": Encoding.GSM7,
    "latin1": Encoding.LATIN1,
    "ascii": Encoding.LATIN1,
    "gbk": Encoding.GBK,
}


def write_text(part: Part, alphabet: str) -> tuple[int, bytes]:
    """data_coding and the octets of a part. What the link's alphabet cannot write goes as UCS-2."""
    if part.encoding is not Encoding.GSM7 or alphabet == "gsm":
        return DATA_CODING[part.encoding], part.data
    try:
        text = decode(part)
        if alphabet != "ascii" or text.isascii():
            return DATA_CODING[Encoding.GSM7], encode(text, _DEFAULT[alphabet])
    except BadText:
        pass
    return DATA_CODING[Encoding.UCS2], encode(decode(part), Encoding.UCS2)


def encoding_of(data_coding: int, data: bytes = b"", alphabet: str = "gsm") -> Encoding | None:
    """The encoding that ``data_coding`` means, without its message class; None for one that we cannot read.

    ASCII with control characters is no text: its writer means the default alphabet, where they are letters.
    From 0x10 on values are TS 23.038's groups: general and for deletion (0, 1), waiting (C, D, E), class (F).
    """
    if data_coding == _ASCII and not _CONTROLS.isdisjoint(data):
        return Encoding.GSM7
    if data_coding == 0 and alphabet == "ascii" and not data.isascii():
        return Encoding.GBK  # GB 2312's letters beside ASCII's, whatever its writer called it
    if data_coding == 0:
        return _DEFAULT[alphabet]
    if data_coding < 0x10:
        return _SMPP.get(data_coding)
    if data_coding < 0x80:
        kind = data_coding >> 2 & 3
        return None if data_coding & 0x20 or kind == 3 else _ALPHABETS[kind]  # 0x20: compressed
    if data_coding < 0xC0:
        return None
    if data_coding < 0xE0:
        return Encoding.GSM7
    if data_coding < 0xF0:
        return Encoding.UCS2
    return Encoding.BINARY if data_coding & 0x04 else Encoding.GSM7
