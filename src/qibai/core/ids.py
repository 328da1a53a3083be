"""Public ids: a prefix, the code that the row lives under, and 63 bits; one look-up touches one shard.

``b`` ids are bindings, ``c`` ids are calls: ``b12345678-0abcdefghjkmn`` is code 70012345678 and a Crockford
base-32 number of 13 digits, the first 42 bits of which are milliseconds. What lives under an old number
outside 700 has no code: ``be0001236-…``, its negative stand-in.
"""

import secrets
import time
import zlib
from typing import Final

NODES: Final = 128
PLACES: Final = 256  #: processes of one node
NOISE_BITS: Final = 21
_WITHIN_MS: Final = 64

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE: Final = {ch: i for i, ch in enumerate(_ALPHABET)}


def new_id(now_ms: int | None = None, noise: int | None = None) -> int:
    """63 bits: milliseconds since 1970 (42 bits, top bit clear until 2109), and ``noise``: random bits."""
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    low = secrets.randbits(NOISE_BITS) if noise is None else noise
    return (ms & ((1 << 42) - 1)) << NOISE_BITS | low


def node_number(name: str) -> int:
    """The number of a node that was given none, 0 to 127: two names may share it, if rarely."""
    return zlib.crc32(name.encode()) % NODES


class DistinctIds:
    """Ids that differ for certain from those of every other process, where nothing would notice a clash.

    Milliseconds as in ``new_id``, the node's number (7 bits), the process's place on the node (8) and the
    part of the millisecond (6), which goes on counting when ids are made faster than that.
    """

    def __init__(self, node: int, place: int) -> None:
        """``place``: no other process of the node that runs has it. Raise ValueError out of range."""
        if not (0 <= node < NODES and 0 <= place < PLACES):
            raise ValueError("no such node or place")
        self._origin = (node << 8 | place) << 6
        self._last = 0  #: milliseconds and their part, without the origin

    def new(self, now_ns: int | None = None) -> int:
        """Above all that were made before, also when the clock goes back."""
        now = (time.time_ns() if now_ns is None else now_ns) * _WITHIN_MS // 1_000_000
        self._last = max(now, self._last + 1)
        ms, part = divmod(self._last, _WITHIN_MS)
        return (ms & ((1 << 42) - 1)) << 21 | self._origin | part


def format_id(prefix: str, code: int, value: int) -> str:
    digits = []
    for shift in range(60, -1, -5):
        digits.append(_ALPHABET[(value >> shift) & 31])
    head = f"{code:08d}" if code >= 0 else f"e{-code:07d}"
    return f"{prefix}{head}-{''.join(digits)}"


def parse_id(prefix: str, text: str) -> tuple[int, int] | None:
    """(code value, id), or None when ``text`` is not an id of this kind."""
    if len(text) != 23 or text[0] != prefix or text[9] != "-" or not text.isascii():
        return None
    head, tail = text[1:9], text[10:]
    old = head[0] == "e"
    if not head[old:].isdigit() or any(ch not in _VALUE for ch in tail):
        return None
    value = 0
    for ch in tail:
        value = value << 5 | _VALUE[ch]
    return None if value >= 1 << 63 else (-int(head[1:]) if old else int(head), value)
