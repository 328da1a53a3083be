"""Public ids: a prefix, the code that the row lives under, and 63 bits; one look-up touches one shard.

``b`` ids are bindings, ``c`` ids are calls: ``b12345678-0abcdefghjkmn`` is code 70012345678 and a Crockford
base-32 number of 13 digits, the first 42 bits of which are milliseconds. What lives under an old number
outside 700 has no code: ``be0001236-…``, its negative stand-in.
"""

import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE: Final = {ch: i for i, ch in enumerate(_ALPHABET)}


def new_id(now_ms: int | None = None) -> int:
    """63 bits: milliseconds since 1970 (42 bits, top bit clear until 2109) and 21 random bits."""
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return ((ms & ((1 << 42) - 1)) << 21) | secrets.randbits(21)


def format_id(prefix: str, code: int, value: int) -> str:
    digits = []
    for shift in range(60, -1, -5):
        digits.append(_ALPHABET[(value >> shift) & 31])
    head = f"{code:08d}" if code >= 0 else f"e{-code:07d}"
    return f"{prefix}{head}-{''.join(digits)}"


def parse_id(prefix: str, text: str) -> tuple[int, int] | None:
    """(code value, id), or None when ``text`` is not such an id."""
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
