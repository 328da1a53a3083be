"""Real mobile numbers written inside a text, however they are written; hiding them.

A text is first turned into classes, character for character: digits of any script, Chinese numerals, what
separates, what cannot be seen. Digits that stand together are a group. A number is found where the digits of
one group, or of neighbouring groups, are those of a mobile number from the first to the last; so the eleven
digits in the middle of a longer run are none.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_WORDS: Final = {"两": 2, "○": 0, "◯": 0, "⭕": 0, "洞": 0, "拐": 7, "勾": 9}
_INVISIBLE_LETTERS: Final = "\u115f\u1160\u3164\uffa0"
_BREAKS: Final = ":：;；=×%‰℃"  # they part numbers that have nothing to do with one another
_STRETCH: Final = 5  # separators that may stand between two digits of one number

_WIDE: Final = "abcdefghij"  # classes of ０ … ９
_LONE: Final = "ABCDEFGHIJ"  # and of digits that are a group each: 一, ①, १ …
_TO_ASCII: Final = str.maketrans(_WIDE + _LONE, "0123456789" * 2, "z")
_SAME_LENGTH: Final = str.maketrans(_WIDE + _LONE, "0123456789" * 2)
_LETTERS: Final = {"O": "u", "o": "u", "I": "v", "l": "v"}  # 0 and 1 if they stand between digits

_LETTER_DIGITS: Final = str.maketrans("uv", "01")
_LETTER_IN_DIGITS: Final = re.compile(r"(?<=[0-9])[uv]+(?=[0-9])")
_GROUP: Final = re.compile(r"[0-9](?:z*[0-9])*|[a-j](?:z*[a-j])*|[A-J]")
_GAP: Final = re.compile(rf"(?:z* ){{0,{_STRETCH}}}z*")
_MOBILE: Final = re.compile(r"(?:(?:00)?86|0)?(1[3-9][0-9]{9})")
_LONGEST: Final = 15  # digits: 0086 and eleven
_DATE: Final = re.compile(
    r"(?<![0-9])(?<![0-9][-./])(?:"
    r"(?:19|20)[0-9]{2}([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([-./])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)[0-9]{2}"
    r")(?![0-9]|[-./][0-9])"
)
_AMOUNT: Final = re.compile(r"(?<![0-9,.])[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]{1,2})?(?![0-9]|[,.][0-9])")
_NUMBER_700: Final = re.compile(r"700[0-9]{12}")


@dataclass(frozen=True, slots=True, repr=False)
class Span:
    """Where in a text a mobile number is written, prefix included, and which; ``repr`` does not show it."""

    start: int
    end: int
    national: str  #: its eleven digits

    def __repr__(self) -> str:
        return f"<Span {self.start}:{self.end}>"


class _Classes(dict[int, str]):
    """Code point → class: digit, `` `` separates, ``z`` is not seen, ``x`` is anything else."""

    def __missing__(self, point: int) -> str:
        found = _class_of(chr(point))
        if point < 0x10000:  # the rest is rare, and there is too much of it to keep
            self[point] = found
        return found


def _class_of(char: str) -> str:
    if char in _LETTERS:
        return _LETTERS[char]
    value = _WORDS.get(char, unicodedata.numeric(char, -1))
    if value in range(10):
        value = int(value)
        if char.isascii():
            return char
        return _WIDE[value] if "０" <= char <= "９" else _LONE[value]
    category = unicodedata.category(char)
    if char in _INVISIBLE_LETTERS or category[0] == "M" or (category[0] == "C" and not char.isspace()):
        return "z"
    if category[0] in "LN" or category == "Sc" or char in _BREAKS:
        return "x"
    return " "


_CLASSES: Final = _Classes()


def find_numbers(text: str) -> list[Span]:
    """Every mainland mobile number in ``text``, in order; spans do not overlap unless the readings do.

    Found: digits of any script, Chinese numerals (also 〇, 幺, 两, 壹), ``O`` and ``l`` among digits, with
    spaces, dashes, dots, other signs or invisible characters between them, with +86, 0086, 86 or 0 before.
    Not found: eleven digits within a longer run, 700 numbers, dates, amounts with commas.
    """
    classes = text.translate(_CLASSES)
    classes = _LETTER_IN_DIGITS.sub(lambda found: found[0].translate(_LETTER_DIGITS), classes)
    groups = [
        (found.start(), found.end(), found[0].translate(_TO_ASCII)) for found in _GROUP.finditer(classes)
    ]
    if sum(len(digits) for _, _, digits in groups) < 11:
        return []
    other: list[tuple[int, int]] | None = None
    spans: list[Span] = []
    for first, (start, _, _) in enumerate(groups):
        digits = ""
        for last in range(first, len(groups)):
            if last > first and not _GAP.fullmatch(classes, groups[last - 1][1], groups[last][0]):
                break
            digits += groups[last][2]
            if len(digits) > _LONGEST:
                break
            found = _MOBILE.fullmatch(digits)
            if found is None:
                continue
            end = groups[last][1]
            if last > first:
                if other is None:
                    other = _other_figures(text, classes, groups)
                if any(start < until and since < end for since, until in other):
                    continue
            begin = start - (start > 0 and text[start - 1] in "+＋")
            if not spans or end > spans[-1].end:
                spans.append(Span(begin, end, found[1]))
    return spans


def _other_figures(text: str, classes: str, groups: list[tuple[int, int, str]]) -> list[tuple[int, int]]:
    """Where dates, amounts and spaced 700 numbers stand."""
    plain = list(text)
    for start, end, _ in groups:
        plain[start:end] = classes[start:end].translate(_SAME_LENGTH)
    line = "".join(plain)
    places = [found.span() for pattern in (_DATE, _AMOUNT) for found in pattern.finditer(line)]
    first = 0
    for last, (_, end, _) in enumerate(groups):
        following = groups[last + 1][0] if last + 1 < len(groups) else len(text)
        if following < len(text) and _GAP.fullmatch(classes, end, following):
            continue
        run = groups[first : last + 1]
        gaps = {text[a[1] : b[0]] for a, b in pairwise(run)}
        if len(gaps) == 1 and _NUMBER_700.fullmatch("".join(digits for _, _, digits in run)):
            places.append((run[0][0], end))
        first = last + 1
    return places


def mask(text: str) -> str:
    """``text`` with every mobile number in it replaced by eleven stars."""
    pieces, at = [], 0
    for span in find_numbers(text):
        if span.start >= at:
            pieces += [text[at : span.start], "*" * 11]
        at = max(at, span.end)
    return "".join(pieces) + text[at:]
