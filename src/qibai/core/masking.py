"""Hide real numbers in text that people or logs will see."""

import re
from typing import Final

from qibai.core.text.numbers import find_numbers

_MOBILE: Final = re.compile(r"(?<![0-9])((?:\+?86|0086)?)(1[3-9][0-9])[0-9]{4}([0-9]{4})(?![0-9])")
_WORD: Final = re.compile(
    r"(?<![0-9A-Za-z_])((?:\+?86|0086)?)(1[3-9][0-9])[0-9]{4}([0-9]{4})(?![0-9A-Za-z_])"
)


def mask_numbers(text: str) -> str:
    """``text`` with the middle four digits of every mainland mobile number starred; 700 numbers stay."""
    return _MOBILE.sub(r"\1\2****\3", text)


def mask_words(text: str) -> str:
    """``mask_numbers`` where digests and ids stand as well: numbers with a letter beside them stay."""
    return _WORD.sub(r"\1\2****\3", text)


def mask_name(name: str, most: int = 80) -> str:
    """The name of a field that nobody knows, for an error: it may be a number, or anything else."""
    return mask_text("".join(one if one.isprintable() else "?" for one in name))[:most]


def mask_text(text: str) -> str:
    """``mask_numbers`` for what is stored of what people type: numbers are found however they are written."""
    pieces, at = [], 0
    for span in find_numbers(text):
        if span.start >= at:
            pieces += [text[at : span.start], f"{span.national[:3]}****{span.national[-4:]}"]
        at = max(at, span.end)
    return mask_numbers("".join(pieces) + text[at:])
