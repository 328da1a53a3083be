"""Texts that people type and that are kept: a name that must be exact holds no real number at all."""

from collections.abc import Iterable
from typing import Final

from qibai.core.errors import BadName, NumberNotAllowed
from qibai.core.numbering import Msisdn
from qibai.core.text.characters import digits_of
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


def without_parties(text: str | None, parties: Iterable[Msisdn], field: str) -> str | None:
    """``text`` as it is. Raise NumberNotAllowed if it has the digits of one of ``parties`` in their order.

    A digit counts however it is written, as in texts: 一, ①, or a letter that looks like it.

    For ids that tenants give to their orders and bindings. They are kept in clear beside sealed numbers, so
    they must not name a party. Other numbers stay: an order's id may well look like a mobile number.
    """
    if text is None:
        return None
    written = digits_of(text)
    if any(party.national in digits for party in parties for digits in written):
        raise NumberNotAllowed(field=field)
    return text
