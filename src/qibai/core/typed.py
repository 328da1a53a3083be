"""Texts that people type and that are kept: a name that must be exact holds no real number at all."""

from qibai.core.errors import NumberNotAllowed
from qibai.core.text.numbers import find_numbers


def without_number(text: str, field: str) -> str:
    """``text`` as it is. Raise NumberNotAllowed if a real number is written in it, in whatever way.

    For names and ids, by which things are found again. Texts that only people read, such as reasons and
    notes, are masked instead (``core.masking.mask_text``).
    """
    if find_numbers(text):
        raise NumberNotAllowed(field=field)
    return text
