"""How China's numbers are dialled: what may stand before a mobile number, and which fixed lines there are.

Mobile numbers have eleven digits from 13 to 19 on; fixed lines an area code, dialled with 0 before it, and
seven or eight digits more (《电信网编号计划》). A call may be sent through another carrier's network by a
prefix, the best known of which are 17951, 17911, 17909, 12593 and 10193.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_CARRIER: Final = r"(?:179[0-9]{2}|125831|125832|125833|125[0-9]{2}|10193|10131|118[0-9]{2})"
_TWO_DIGITS: Final = r"(?:10|2[0-57-9])"
_THREE_DIGITS: Final = (
    r"(?:3(?:1[0-9]|35|49|5[0-9]|7[0-9]|9[1-8])|4(?:1[0-9]|2[179]|3[1-9]|5[1-9]|6[4-9]|7[0-9]|8[23])"
    r"|5(?:1[0-9]|2[37]|3[0-9]|4[36]|5[0-9]|6[1-6]|7[0-9]|80|9[1-9])|6(?:3[1-5]|6[0-9]|9[12])"
    r"|7(?:0[1-9]|1[0-9]|2[248]|3[0-9]|4[3-6]|5[0-9]|6[0-9]|7[0-9]|9[0-9])"
    r"|8(?:1[2-8]|2[5-7]|3[0-9]|5[0-9]|7[0-9]|8[3-8]|9[0-9])"
    r"|9(?:0[1-9]|1[0-9]|3[0-9]|4[13]|5[1-5]|7[0-9]|9[0-9]))"
)
_MOBILE: Final = re.compile(r"1[3-9][0-9]{9}")
_PREFIXED: Final = re.compile(
    rf"{_CARRIER}?(?:(?:00)?86)?(?:0(?:{_TWO_DIGITS}|{_THREE_DIGITS})?)?(1[3-9][0-9]{{9}})"
)
_FIXED: Final = tuple(
    re.compile(rf"{_CARRIER}?(?:(?:(?:00)?86)?0|(?:00)?86)({area}[1-9]{local})")
    for area, local in (
        (_TWO_DIGITS, "[0-9]{7}"),
        (_THREE_DIGITS, "[0-9]{7}"),
        (_THREE_DIGITS, "[0-9]{6}"),
    )
)
_MIDDLE: Final = re.compile(r"700[0-9]{12}")
_IN_USE: Final = re.compile(r"1(?:[38][0-9]|4[5-9]|5[0-35-9]|6[2-7]|7[0-8]|9[0-35-9])")
FIRST_DIGITS: Final = frozenset("0178")  #: of all that ``dialled`` reads


@dataclass(frozen=True, slots=True)
class Dialled:
    """Digits that may be a number: where they begin and end in a string of digits, and the number's own."""

    start: int
    end: int
    national: str  #: without any prefix; a fixed line's with its area code, but without the 0 before it
    national_at: int  #: where it begins
    mobile: bool
    middle: bool = False  #: a 700 number, which is nobody's

    @property
    def area_length(self) -> int:
        return 2 if self.national[0] in "12" else 3


def dialled(digits: str, at: int) -> Iterator[Dialled]:
    """Every way to read a number that begins at ``at``, the likeliest first."""
    if at >= len(digits) or digits[at] not in FIRST_DIGITS:
        return
    found = _MOBILE.match(digits, at)
    if found is not None:
        yield Dialled(at, found.end(), found[0], at, True)
    found = _PREFIXED.match(digits, at)
    if found is not None and found.start(1) > at:
        yield Dialled(at, found.end(), found[1], found.start(1), True)
    for pattern in _FIXED:
        found = pattern.match(digits, at)
        if found is not None:
            yield Dialled(at, found.end(), found[1], found.start(1), False)
    found = _MIDDLE.match(digits, at)
    if found is not None:
        yield Dialled(at, found.end(), found[0], at, False, middle=True)


def in_use(mobile: str) -> bool:
    """Returns True if mobile numbers with these first digits have been given out."""
    return _IN_USE.match(mobile) is not None
