"""One short message as it travels: user data, its encoding, its place in a long message."""

from dataclasses import dataclass
from enum import StrEnum


class Encoding(StrEnum):
    """How user data spells its text."""

    GSM7 = "gsm7"  #: 3GPP TS 23.038 default alphabet and its extension table; one septet a byte, not packed
    LATIN1 = "latin1"  #: ISO 8859-1
    UCS2 = "ucs2"  #: UTF-16 big-endian, surrogate pairs allowed
    GBK = "gbk"  #: GB 18030, of which GBK and GB 2312 are parts
    BINARY = "binary"  #: 8-bit data, no text; carried as it is


@dataclass(frozen=True, slots=True)
class Concat:
    """The place of a part in a long message (3GPP TS 23.040 §9.2.3.24.1 and .8; SMPP's sar_* TLVs)."""

    ref: int  #: of the long message; 0 … 255, or 0 … 65,535 when ``wide``
    total: int  #: parts, 1 … 255
    seq: int  #: of this one, 1 … ``total``
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """User data without its header. ``repr`` shows no text."""

    data: bytes
    encoding: Encoding
    concat: Concat | None = None

    def __repr__(self) -> str:
        return f"<Part {self.encoding} {len(self.data)} bytes {self.concat}>"
