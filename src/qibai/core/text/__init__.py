"""The text of short messages: encodings, parts, numbers written inside it. No I/O."""

from qibai.core.errors import BadText
from qibai.core.text.clean import cleaned
from qibai.core.text.coding import decode, encode, fitting
from qibai.core.text.gsm7 import pack7, unpack7
from qibai.core.text.long import MAX_PARTS, is_whole, join, room, split
from qibai.core.text.numbers import Span, find_numbers, mask
from qibai.core.text.part import Concat, Encoding, Part
from qibai.core.text.udh import read_udh, write_udh

__all__ = [
    "MAX_PARTS",
    "BadText",
    "Concat",
    "Encoding",
    "Part",
    "Span",
    "cleaned",
    "decode",
    "encode",
    "find_numbers",
    "fitting",
    "is_whole",
    "join",
    "mask",
    "pack7",
    "read_udh",
    "room",
    "split",
    "unpack7",
    "write_udh",
]
