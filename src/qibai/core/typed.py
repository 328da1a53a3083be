"""Texts that people type and that are kept: a name that must be exact holds no real number at all."""

from typing import Final

from qibai.core.errors import BadName, NumberNotAllowed
from qibai.core.text.numbers import find_numbers

LONGEST_NAME: Final = 64


def checked_name(text: str, field: str) -> str:
    """A name or a paper's number as it is. Raise BadName, NumberNotAllowed.

    Names are read on screens, in logs and in files of commas: nothing unseen is in them.
    """
    if not 1 <= len(text) <= LONGEST_NAME or text != text.strip() or not text.isprintable():
        raise BadName(field=field)
    return without_number(text, field)


def without_number(text: str, field: str) -> str:
    """``text`` as it is. Raise NumberNotAllowed if a real number is written in it, in whatever way.

    For names and ids, by which things are found again. Texts that only people read, such as reasons and
    notes, are masked instead (``core.masking.mask_text``).
    """
    if find_numbers(text):
        raise NumberNotAllowed(field=field)
    return text
