"""Long messages: cut into parts as a network takes them, and put together again."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from qibai.core.errors import BadText
from qibai.core.text.coding import decode, encode, fitting
from qibai.core.text.gsm7 import ESCAPE
from qibai.core.text.part import Concat, Encoding, Part

_OCTETS: Final = 140  #: of user data, header included (3GPP TS 23.040 §9.2.3.16)
MAX_PARTS: Final = 255


def room(encoding: Encoding, *, header: int = 0) -> int:
    """How many bytes of data (septets in GSM 7-bit) fit in one part beside ``header`` octets."""
    return (_OCTETS - header) * 8 // 7 if encoding is Encoding.GSM7 else _OCTETS - header


def split(
    text: str | bytes, encoding: Encoding, *, wide: bool = False, header: bool = True, ref: int = 0
) -> list[Part]:
    """The parts of a message, one without a place if it fits in one.

    ``header``: each part leaves room for its user data header; without, parts are full, for TLVs.
    ``ref`` is cut to 8 bits, or to 16 when ``wide``. No part ends within a character. Raise BadText when the
    text does not fit the encoding or needs more than 255 parts.
    """
    data = encode(text, encoding) if isinstance(text, str) else text
    if len(data) <= room(encoding):
        return [Part(data, encoding)]
    size = room(encoding, header=(7 if wide else 6) if header else 0)
    pieces, start = [], 0
    while start < len(data):
        end = _whole(data, start, start + size, encoding)
        pieces.append(data[start:end])
        start = end
    if len(pieces) > MAX_PARTS:
        raise BadText("the text is longer than a long message can be")
    ref &= 0xFFFF if wide else 0xFF
    return [Part(piece, encoding, Concat(ref, len(pieces), seq, wide)) for seq, piece in enumerate(pieces, 1)]


def _whole(data: bytes, start: int, end: int, encoding: Encoding) -> int:
    """The last place up to ``end`` where no character is cut; some way beyond ``start``."""
    if end >= len(data):
        return len(data)
    if encoding is Encoding.GSM7:
        escapes = end - start - len(data[start:end].rstrip(bytes((ESCAPE,))))
        return end - escapes % 2
    if encoding is Encoding.UCS2:
        end -= (end - start) % 2
        return end - 2 if 0xD8 <= data[end - 2] <= 0xDB else end
    if encoding is Encoding.GBK:
        at = start
        while (after := at + _gbk_length(data, at)) <= end:
            at = after
        return at
    return end


def _gbk_length(data: bytes, at: int) -> int:
    if data[at] < 0x81:
        return 1
    return 4 if data[at + 1 : at + 2] <= b"\x39" else 2


def is_whole(parts: Sequence[Part]) -> bool:
    """Whether every part of the long message is among ``parts``."""
    places = {part.concat.seq for part in parts if part.concat is not None}
    return bool(parts) and (parts[0].concat is None or len(places) == parts[0].concat.total)


def join(parts: Sequence[Part]) -> Part:
    """The whole of a long message out of its parts, in any order; of parts that came twice the first counts.

    Parts written in different encodings become one in the encoding that fits. Raise BadText when parts are
    missing or do not belong together.
    """
    if not is_whole(parts):
        raise BadText("parts of the message are missing")
    if len(parts) == 1:
        return replace(parts[0], concat=None)
    if len({_message(part) for part in parts}) != 1:
        raise BadText("the parts belong to different messages")
    by_seq: dict[int, Part] = {}
    for part in parts:
        by_seq.setdefault(part.concat.seq if part.concat else 0, part)
    ordered = [by_seq[seq] for seq in sorted(by_seq)]
    runs = [
        Part(b"".join(part.data for part in run), encoding)
        for encoding, run in groupby(ordered, lambda part: part.encoding)
    ]
    if len(runs) == 1:
        return runs[0]
    text = "".join(decode(run) for run in runs)
    return Part(encode(text, encoding := fitting(text)), encoding)


def _message(part: Part) -> tuple[int, int, bool] | None:
    return (part.concat.ref, part.concat.total, part.concat.wide) if part.concat else None
