"""CMPP's Msg_Fmt and the encodings of a part.

0 is ASCII by the specification, and the GSM alphabet for those who pass it on as it is; most letters are the
same in both. What is read as 0 is GSM where it holds octets that are no letters of ASCII.
"""

from collections.abc import Mapping
from typing import Final

from qibai.core.text import BadText, Encoding, Part, decode, encode, read_udh, write_udh
from qibai.messaging.cmpp.status import Result
from qibai.messaging.stream.session import BadPdu

_ASCII: Final = 0
_CONTROLS: Final = frozenset(range(0x20)) - frozenset(b"\t\n\r") | {0x7F}
_READ: Final[Mapping[int, Encoding]] = {
    3: Encoding.BINARY,  # written to a card
    4: Encoding.BINARY,
    8: Encoding.UCS2,
    15: Encoding.GBK,
}
_WRITTEN: Final[Mapping[Encoding, int]] = {Encoding.BINARY: 4, Encoding.UCS2: 8, Encoding.GBK: 15}
_MAX_ASCII: Final = 160  #: octets of content; of all else 140
_MAX_OTHER: Final = 140
_FIRST_LETTER: Final = 0x20


def read_part(msg_fmt: int, udhi: int, content: bytes) -> Part:
    """Raise BadPdu. Pk_total and Pk_number say no place: they name no message that parts belong to."""
    if len(content) > (_MAX_OTHER if msg_fmt else _MAX_ASCII):
        raise BadPdu(Result.TOO_LONG)
    concat = None
    if udhi & 1 and not _is_all_text(msg_fmt, content):
        try:
            concat, content = read_udh(content)
        except BadText:
            raise BadPdu(Result.STRUCTURE) from None
    encoding = _ascii(content) if msg_fmt == _ASCII else _READ.get(msg_fmt)
    if encoding is None:
        raise BadPdu(Result.STRUCTURE)
    return Part(content, encoding, concat)


def _is_all_text(msg_fmt: int, content: bytes) -> bool:
    """Whether TP_udhi was set by mistake: what stands for the header's length can only be of a letter."""
    length = content[0] if content else 0
    return length >= max(len(content), _FIRST_LETTER) or (not length and msg_fmt == 8)


def _ascii(content: bytes) -> Encoding:
    if not content.isascii():
        return Encoding.GBK  # GB 2312's letters beside ASCII's, whatever its writer called it
    return Encoding.LATIN1 if _CONTROLS.isdisjoint(content) else Encoding.GSM7


def write_part(part: Part) -> tuple[int, int, bytes]:
    """Msg_Fmt, TP_udhi and the content. Raise BadText when it can be written in no way that fits."""
    header = write_udh(part.concat) if part.concat else b""
    msg_fmt, data = _write_text(part, _MAX_OTHER - len(header))
    content = header + data
    if len(content) > (_MAX_OTHER if msg_fmt else _MAX_ASCII):
        raise BadText("the text is longer than CMPP takes")
    return msg_fmt, int(bool(header)), content


def _write_text(part: Part, room: int) -> tuple[int, bytes]:
    if part.encoding in _WRITTEN:
        return _WRITTEN[part.encoding], part.data
    text = decode(part)
    if text.isascii() and _CONTROLS.isdisjoint(text.encode()):
        return _ASCII, text.encode()
    wide = encode(text, Encoding.UCS2)
    if len(wide) <= room:
        return _WRITTEN[Encoding.UCS2], wide
    return _ASCII, part.data if part.encoding is Encoding.GSM7 else encode(text, Encoding.GSM7)
