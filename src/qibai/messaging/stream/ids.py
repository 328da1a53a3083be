"""One id in the ways in which a peer may write it: other letters' case, leading zeros, another base."""

import re
from typing import Final, Literal

ReceiptIds = Literal["auto", "same", "decimal", "hex"]

MAX_ID: Final = 64
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_DASHED: Final = re.compile(r"[0-9a-f]+(?:-[0-9a-f]+)*")  #: a number, or groups as of a UUID
_LONGEST_NUMBER: Final = 39  #: digits of 128 bits


def canonical(text: str) -> str:
    """The id by which a part is found again: in lower case, hexadecimal ones without leading zeros."""
    text = text.strip().lower()
    return (text.lstrip("0") or "0") if _DASHED.fullmatch(text) else text


def as_answered(message_id: str, ids: ReceiptIds) -> str:
    """The id of an answer as it is kept. ``decimal``: answers are hexadecimal; ``hex``: decimal."""
    match ids:
        case "decimal":
            return _based(message_id, 16, "d")
        case "hex":
            return _based(message_id, 10, "x")
    return canonical(message_id)


def as_receipted(message_id: str, ids: ReceiptIds) -> tuple[str, ...]:
    """The ids that a receipt may mean, the likeliest first."""
    match ids:
        case "decimal":
            return (_based(message_id, 10, "d"),)
        case "hex":
            return (_based(message_id, 16, "x"),)
    found = [canonical(message_id)]
    if ids == "auto":
        found.append(message_id.strip())  # as it was kept by an earlier version
        if _HEX.fullmatch(found[0]) and len(found[0]) <= _LONGEST_NUMBER:
            if found[0].isdigit():
                found.append(format(int(found[0]), "x"))  # answered in hexadecimal
            found.append(str(int(found[0], 16)))  # answered in decimal
    return tuple(dict.fromkeys(found))


def _based(text: str, base: int, wanted: str) -> str:
    try:
        return format(int(text.strip(), base), wanted)
    except ValueError:
        return canonical(text)
