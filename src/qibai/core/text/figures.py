"""Figures that are no phone numbers though their digits would make one: dates, times, amounts, ids, lists."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from qibai.core.text.characters import LONE, NARROW, WIDE

_HELD: Final = 1
_BEGINS, _GOES_ON = 1, 2  # a time of day
_MIDDLE_LENGTH: Final = 15

_DATE: Final = re.compile(
    r"(?<![0-9])(?<![0-9][-./])(?:"
    r"(?:19|20)[0-9]{2}([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([-./])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)[0-9]{2}"
    r")(?![0-9]|[-./][0-9])"
)
_CLOCK: Final = re.compile(
    r"(?<![0-9])(?<![0-9][:：])(?:[01]?[0-9]|2[0-3])[:：][0-5][0-9](?:[:：][0-5][0-9])?(?![0-9]|[:：][0-9])"
)
_MONEY: Final = r"(?:元|块|圆|万|亿|美元|人民币|[Rr][Mm][Bb]|[Yy]uan)"
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_OTHERS: Final = (
    _DATE,
    re.compile(r"(?<![0-9,.])[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]{1,2})?(?![0-9]|[,.][0-9])"),
    re.compile(rf"(?<![0-9.])[0-9]{{1,12}}\.[0-9]{{1,2}}(?= ?{_MONEY})"),
    re.compile(r"(?<=[¥￥$€])[0-9]{1,12}\.[0-9]{1,2}(?![0-9]|\.[0-9])"),
    re.compile(r"(?<![0-9.])1[0-9]{9}\.[0-9](?![0-9]|\.[0-9])"),  # seconds since 1970 with a fraction
    re.compile(rf"(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9]|\.[0-9])"),  # an IPv4 address
    re.compile(
        r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])"
    ),  # a UUID
    re.compile(r"(?<![0-9A-Za-z])[bcm](?:[0-9]{8}|e[0-9]{7})-[0-9a-z]{13}(?![0-9A-Za-z])"),  # an id of ours
    re.compile(r"(?<![0-9A-Za-z])[vV][0-9]{1,2}(?:\.[0-9]{1,2}){1,2}(?![0-9]|\.[0-9])"),  # a version
    re.compile(  # a bank card
        r"(?<![0-9])[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?(?![0-9]|\1[0-9])"
    ),
    re.compile(  # an identity card (GB 11643): place, birthday, order
        r"(?<![0-9])[1-9][0-9]{5}[ -]?(?:19|20)[0-9]{2}[ -]?(?:0[1-9]|1[0-2])[ -]?"
        r"(?:0[1-9]|[12][0-9]|3[01])[ -]?[0-9]{3}[0-9Xx](?![0-9])"
    ),
)
_SPACE: Final = r"[ \u00a0\u3000._·–—-]{1,3}"
_MIDDLE: Final = re.compile(
    rf"(?<![0-9])7(?:00[0-9]{{0,11}}(?P<a>{_SPACE})[0-9]{{1,12}}(?:(?P=a)[0-9]{{1,12}}){{0,10}}"
    rf"|(?P<b>{_SPACE})0(?P=b)0(?:(?P=b)[0-9]){{12}})(?![0-9])"
)
_ENDS_AS_FIGURE: Final = re.compile(r"[0-9][-,./:：]?\Z")
_BEGINS_AS_FIGURE: Final = re.compile(r"[-,./:：]?[0-9]")
_DIGITS: Final = re.compile(r"[0-9]+")
_BEFORE_MONEY: Final = re.compile(rf"[ \u00a0]?{_MONEY}")

_CLASSES: Final = WIDE + LONE
_DIGIT_CLASSES: Final = frozenset(NARROW + _CLASSES)
_TO_DIGIT: Final = dict(zip(_CLASSES, NARROW * 2, strict=True))
_TIMES_SIGNS: Final = frozenset({"x", "X", "×", "*", "✕", "✖", "＊"})


class Figures:
    """Where in a text dates, times, amounts and ids stand. Every look-up takes the same time."""

    def __init__(self, text: str, classes: str) -> None:
        """``classes``: the text's, character for character."""
        self._plain = text if text.isascii() else _plain(text, classes)
        self._written, self._classes = ("", "") if text.isascii() else (text, classes)
        self._unseen = classes if "z" in classes else ""
        self._held, self._clock = bytearray(len(text)), bytearray(len(text))
        for pattern in _OTHERS:
            for found in self._found(pattern):
                self._hold(found.start(), found.end())
        for found in self._found(_MIDDLE):
            self._hold_middle(found.start(), found.end())
        for found in self._found(_CLOCK):
            self._clock[found.start()] = _BEGINS
            for at in range(found.start() + 1, found.end()):
                self._clock[at] = _GOES_ON

    def hold(self, start: int, end: int) -> bool:
        """Returns True if a figure other than a time of day has a part in this span."""
        return _HELD in self._held[start:end]

    def times(self, start: int, end: int) -> int:
        """How many times of day have a part in this span."""
        return self._clock.count(_BEGINS, start, end) + (self._clock[start] == _GOES_ON)

    def is_money(self, start: int, end: int) -> bool:
        """Returns True if a currency is written right before the span or right after it."""
        before = self._plain[max(start - 2, 0) : start].rstrip()
        return before.endswith(("¥", "￥", "$", "€", "£")) or bool(_BEFORE_MONEY.match(self._plain, end))

    def are_plain(self, start: int, end: int) -> bool:
        """Returns True if nothing unseen stands in this span and its digits are of one alphabet."""
        return "z" not in self._unseen[start:end] and self._is_of_one_alphabet(start, end)

    def _found(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """What the pattern finds, but for what only looks like it.

        A figure does not go on behind unseen characters (``V1.3.0\\u200b.0``), and nobody writes a figure
        with digits of two alphabets (``1.30.0.０``).
        """
        for found in pattern.finditer(self._plain):
            if self._unseen and self._goes_on(found.start(), found.end()):
                continue
            if self._is_of_one_alphabet(found.start(), found.end()):
                yield found

    def _is_of_one_alphabet(self, start: int, end: int) -> bool:
        """Returns True if the digits of this span have all the same zero. Chinese numerals have none."""
        spans = zip(self._written[start:end], self._classes[start:end], strict=True)
        zeros = {_zero_of(char) for char, found in spans if found in _DIGIT_CLASSES}
        return len(zeros) <= 1 and None not in zeros

    def _goes_on(self, start: int, end: int) -> bool:
        before, after = start, end
        while before and self._unseen[before - 1] == "z":
            before -= 1
        while after < len(self._unseen) and self._unseen[after] == "z":
            after += 1
        return bool(
            (before < start and _ENDS_AS_FIGURE.search(self._plain[max(before - 2, 0) : before]))
            or (after > end and _BEGINS_AS_FIGURE.match(self._plain, after))
        )

    def _hold(self, start: int, end: int) -> None:
        self._held[start:end] = bytes((_HELD,)) * (end - start)

    def _hold_middle(self, start: int, end: int) -> None:
        """The first fifteen digits, if they end where digits end."""
        count = 0
        for found in _DIGITS.finditer(self._plain, start, end):
            count += len(found[0])
            if count == _MIDDLE_LENGTH:
                self._hold(start, found.end())
            if count >= _MIDDLE_LENGTH:
                return


def is_list(groups: Sequence[str], gaps: Sequence[str], *, shaped: bool) -> bool:
    """Returns True if digits are a list of several figures: ``1800 1900 200``, ``1 3 5 7 9 11 13``.

    ``gaps``: what stands between the groups; ``shaped``: they stand as those of a phone number do (3-4-4).
    """
    if len(groups) < 3 or any(group[0] == "0" for group in groups):
        return False
    times = {gap.strip() for gap in gaps} <= _TIMES_SIGNS
    if (not shaped or times) and all(len(group) >= 3 and _is_round(group) for group in groups):
        return True
    steps = {int(after) - int(before) for before, after in pairwise(groups)}
    return len(groups) >= 5 and len(steps) == 1 and 0 not in steps


def _is_round(group: str) -> bool:
    return group[-1] == "0" or group[-2:] in {"58", "68", "88", "98", "99"}


def _zero_of(digit: str) -> int | None:
    """The code point of the zero of a digit's alphabet. None: its alphabet has no known zero."""
    value = unicodedata.decimal(digit, None)
    return None if value is None else ord(digit) - value


def _plain(text: str, classes: str) -> str:
    """The text with all its digits in ASCII."""
    return "".join([_TO_DIGIT.get(found, char) for char, found in zip(text, classes, strict=True)])
