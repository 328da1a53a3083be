"""Text to the bytes of an encoding and back."""

from typing import Final

from qibai.core.errors import BadText
from qibai.core.text.gsm7 import decode_gsm7, encode_gsm7
from qibai.core.text.part import Encoding, Part

_CODECS: Final = {Encoding.LATIN1: "latin-1", Encoding.UCS2: "utf-16-be", Encoding.GBK: "gb18030"}


def encode(text: str, encoding: Encoding) -> bytes:
    """Raise BadText when the encoding lacks a character, or is of data and not of text."""
    if encoding is Encoding.GSM7:
        return encode_gsm7(text)
    try:
        return text.encode(_CODECS[encoding])
    except (KeyError, UnicodeEncodeError):
        raise BadText(f"the text cannot be written in {encoding}") from None


def decode(part: Part) -> str:
    """The text of a part. Raise BadText when its bytes are not in its encoding, or are no text at all."""
    if part.encoding is Encoding.GSM7:
        return decode_gsm7(part.data)
    try:
        return part.data.decode(_CODECS[part.encoding])
    except (KeyError, UnicodeDecodeError):
        raise BadText(f"the text is not in {part.encoding}") from None


def fitting(text: str) -> Encoding:
    """The encoding that takes least room: GSM 7-bit if it has all characters, else UCS-2."""
    try:
        encode_gsm7(text)
    except BadText:
        return Encoding.UCS2
    return Encoding.GSM7
