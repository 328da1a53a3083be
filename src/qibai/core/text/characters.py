"""What a character of a text may mean in a number: a digit, the likeness of a digit, or what stands between.

``read`` turns a text into *classes*, one letter for each character, so that rules are patterns over classes:

==========  ================================================================
``0`` … 9   a digit of ASCII
``a`` … j   a full-width digit
``A`` … J   a digit that is a group of its own: 一, ①, १, Ⅲ …
``k`` … t   a letter that looks like a digit: O, l, Z, З …
``K`` … T   a sign that looks like a digit: ``|``, ``!``, ``$``
space       what separates: spaces, line ends, punctuation, symbols, emoji
``z``       what cannot be seen: marks, zero-width characters, controls
``x``       any other letter
==========  ================================================================
"""

import re
import unicodedata
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

NARROW: Final = "0123456789"
WIDE: Final = "abcdefghij"
LONE: Final = "ABCDEFGHIJ"
ALIKE: Final = "klmnopqrst"
SIGNS: Final = "KLMNOPQRST"
#: Deletes what is no digit of a group, and makes ASCII of the rest.
TO_ASCII: Final = str.maketrans(WIDE + LONE + ALIKE, NARROW * 3, "z")

_WORDS: Final = {"两": 2, "○": 0, "◯": 0, "⭕": 0, "洞": 0, "拐": 7, "勾": 9, "ㄧ": 1, "⼀": 1}
_WORDS_OF_TWO: Final = {"🔟": "10", "💯": "100"}
_FACES: Final = "⚀⚁⚂⚃⚄⚅"  # of dice, 1 to 6
#: By digit: letters that are written in its place, in Latin, Greek, Cyrillic and Chinese.
_LETTERS: Final = (
    "OoDQΟοОоՕօθΘØø°º口囗",
    "lIiıΙιІіӀǀ丨亅Ll",
    "ZzƧƨ乙",
    "EeЕеЗзЭƷʒ∃",
    "AaАаЧч",
    "SsЅѕ",
    "bGб",
    "TТ",
    "BВß",
    "gqԛ",
)
_SIGNS: Final = {"|": 1, "!": 1, "∣": 1, "│": 1, "$": 5, "&": 8}
#: Where the alphabets of negative circled, negative squared and regional letters begin (🅞, 🅾, 🇴).
_EMOJI_ALPHABETS: Final = (0x1F150, 0x1F170, 0x1F1E6)
_INVISIBLE_LETTERS: Final = "\u115f\u1160\u3164\uffa0"
_TWO: Final = "y"  # a character of more than one digit; opened out before rules are asked

_LIKENESS: Final = {
    **{letter: ALIKE[digit] for digit, letters in enumerate(_LETTERS) for letter in letters},
    **{sign: SIGNS[digit] for sign, digit in _SIGNS.items()},
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A text and its classes, character for character. ``repr`` is long; do not log it."""

    text: str  #: as it was given, but characters of two digits (⑬, 🔟) are two characters
    classes: str
    origin: list[int] | None  #: where each character stands in the text as it was given; None: at its place

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The same span in the text as it was given."""
        return (start, end) if self.origin is None else (self.origin[start], self.origin[end - 1] + 1)


class _Classes(dict[int, str]):
    """Code point → class."""

    def __missing__(self, point: int) -> str:
        found = _class_of(chr(point))
        if point < 0x10000:  # the rest is rare, and there is too much of it to keep
            self[point] = found
        return found


def _class_of(char: str) -> str:
    value = _WORDS.get(char, unicodedata.numeric(char, -1))
    if value in range(10):
        if char.isascii():
            return char
        return WIDE[int(value)] if "０" <= char <= "９" else LONE[int(value)]
    if char in _FACES:
        return LONE[_FACES.index(char) + 1]
    category = unicodedata.category(char)
    if char in _WORDS_OF_TWO or (category == "No" and value in range(10, 100)):
        return _TWO
    plain = _letter_of_emoji(char) or unicodedata.normalize("NFKC", char)
    if plain in _LIKENESS or char in _LIKENESS:
        return _LIKENESS.get(char) or _LIKENESS[plain]
    if char in _INVISIBLE_LETTERS or category[0] == "M" or (category[0] == "C" and not char.isspace()):
        return "z"
    return "x" if category[0] in "LN" else " "


def _letter_of_emoji(char: str) -> str:
    """The Latin letter of an emoji that shows one; "" for others. Unicode has no form that says so."""
    for first in _EMOJI_ALPHABETS:
        place = ord(char) - first
        if 0 <= place < len(ascii_uppercase):
            return ascii_uppercase[place]
    return ""


_CLASSES: Final = _Classes()


def read(text: str) -> Reading:
    """The classes of ``text``."""
    classes = text.translate(_CLASSES)
    if _TWO not in classes:
        return Reading(text, classes, None)
    opened, origin = [], []
    for at, (char, found) in enumerate(zip(text, classes, strict=True)):
        written = char if found != _TWO else _WORDS_OF_TWO.get(char, str(int(unicodedata.numeric(char, 10))))
        opened.append(written)
        origin += [at] * len(written)
    whole = "".join(opened)
    return Reading(whole, whole.translate(_CLASSES), origin)


# Possessive quantifiers keep these linear: no run is looked at twice.
_DIGIT: Final = "0-9a-jA-J"
_MIXED: Final = re.compile(rf"(?<![{_DIGIT}k-tK-Tz])(?=[k-tK-Tz]*+[{_DIGIT}])[{_DIGIT}k-tK-Tz]++")
_ZEROS_AND_ONES: Final = re.compile(rf"(?<![{_DIGIT}k-tK-Txz])[kl][klz]*+(?![{_DIGIT}k-tK-Tx])")
_LONGEST_WORD: Final = 40  # a longer mixture of letters and digits is a digest or an id
_DIGITS_ALONE: Final = str.maketrans(WIDE + LONE, NARROW * 2, ALIKE + SIGNS + "zx ")
_DIGITS_AND_ALIKE: Final = str.maketrans(WIDE + LONE + ALIKE + SIGNS, NARROW * 4, "zx ")
_SIGN_TO_LETTER: Final = str.maketrans(SIGNS, ALIKE)
_ALIKE_TO_LETTER: Final = str.maketrans(ALIKE + SIGNS, "x" * 10 + " " * 10)
_KEPT: Final = str.maketrans("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09", ALIKE)
_MARKED: Final = str.maketrans(ALIKE + SIGNS, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09" * 2)


def digits_of(text: str) -> tuple[str, str]:
    """All digits of ``text``, whatever stands between; then with those that letters look like."""
    classes = read(text).classes
    return classes.translate(_DIGITS_ALONE), classes.translate(_DIGITS_AND_ALIKE)


def as_letters(classes: str) -> str:
    """Classes in which whatever looks like a digit is a letter or a sign after all."""
    return classes.translate(_ALIKE_TO_LETTER)


def as_digits(classes: str) -> str | None:
    """Classes in which it is a digit where it stands among digits, or is O or l alone. None: nowhere."""
    marked = _MIXED.sub(
        lambda found: found[0].translate(_MARKED) if len(found[0]) <= _LONGEST_WORD else found[0], classes
    )
    if marked.isprintable():
        return None
    marked = _ZEROS_AND_ONES.sub(lambda found: found[0].translate(_MARKED), marked)
    return marked.translate(_ALIKE_TO_LETTER).translate(_KEPT)
