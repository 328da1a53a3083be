"""The user data header of a short message (3GPP TS 23.040 §9.2.3.24): only the place in a long one counts."""

from typing import Final

from qibai.core.errors import BadText
from qibai.core.text.part import Concat

_CONCAT_8: Final = 0x00
_CONCAT_16: Final = 0x08
#: Elements that make of the user data something else than text for a person: ports of an application, other
#: alphabets, packets for the SIM. Without them it would be read wrongly, so it is not taken at all.
_REFUSED: Final = frozenset({0x04, 0x05, 0x24, 0x25, *range(0x70, 0x80)})


def read_udh(user_data: bytes) -> tuple[Concat | None, bytes]:
    """The place in a long message, and the user data after the header.

    Every other element is left out, among them Reply Address (0x22), which carries a number. Raise BadText
    for a header that is broken or changes what the text means. A place that cannot be (part 3 of 2) is
    left out, as §9.2.3.24.1 wants; of two places the last counts.
    """
    if not user_data:
        raise BadText("the header is missing")
    end = 1 + user_data[0]
    if end > len(user_data):
        raise BadText("the header is longer than the message")
    concat, at = None, 1
    while at < end:
        if at + 2 > end or at + 2 + user_data[at + 1] > end:
            raise BadText("an element of the header is longer than the header")
        kind, size = user_data[at], user_data[at + 1]
        value = user_data[at + 2 : at + 2 + size]
        if kind in _REFUSED:
            raise BadText("the header is not one of a text for a person")
        if (kind, size) in ((_CONCAT_8, 3), (_CONCAT_16, 4)):
            concat = _place(value)
        at += 2 + size
    return concat, user_data[end:]


def _place(value: bytes) -> Concat | None:
    ref, total, seq = int.from_bytes(value[:-2], "big"), value[-2], value[-1]
    return Concat(ref, total, seq, wide=len(value) == 4) if 1 <= seq <= total and total > 1 else None


def write_udh(concat: Concat) -> bytes:
    """A header with this element alone: 6 octets, or 7 when the reference has 16 bits."""
    size = 2 if concat.wide else 1
    kind = _CONCAT_16 if concat.wide else _CONCAT_8
    value = concat.ref.to_bytes(size, "big") + bytes((concat.total, concat.seq))
    element = bytes((kind, len(value))) + value
    return bytes((len(element),)) + element
