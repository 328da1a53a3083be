"""Real numbers written inside a text, however they are written; hiding them.

``characters`` says what each character may mean. Digits that stand together are a *group*; groups with
nothing but separators between them are a *run*. A number is found where the digits of one group, or of
neighbouring groups, are those of a number as ``plan`` knows them, from the first to the last. So eleven
digits in the middle of a longer group are none, unless the whole group is made of numbers. ``figures`` names
what must not be taken for a number. A text is read twice: first whatever looks like a digit (O, l, S …) is a
letter, then it is a digit.

The time is linear in the length of the text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qibai.core.text.characters import Reading, as_digits, as_letters, read
from qibai.core.text.figures import Figures
from qibai.core.text.runs import BROKEN, JOINED, LETTERS, SOFT, DigitRun

MAX_SEPARATORS: Final = 24  #: visible characters between two digits of one number
_MAX_LETTERS: Final = 4  # of these
_STARS: Final = "*" * 11  # what a hidden number looks like: nothing is joined across it
_MAX_PASSES: Final = 5
_FEWEST: Final = 10  # digits of the shortest number, a fixed line with its 0

_GROUP: Final = re.compile(r"[0-9](?:z*+[0-9])*+|[a-j](?:z*+[a-j])*+|[A-J]|[k-t]")
_LETTER_GAP: Final = re.compile(rf" {{0,6}}x{{1,{_MAX_LETTERS}}} {{0,6}}")


@dataclass(frozen=True, slots=True, repr=False)
class Span:
    """Where in a text a number is written, prefix included, and which; ``repr`` does not show it."""

    start: int
    end: int
    national: str  #: a mobile number's eleven digits; a fixed line's area code, without 0, and number

    def __repr__(self) -> str:
        return f"<Span {self.start}:{self.end}>"

    @property
    def masked(self) -> str:
        """``138****8000``, for people."""
        return f"{self.national[:3]}****{self.national[-4:]}"


def find_numbers(text: str) -> list[Span]:
    """Every mainland number in ``text``, in order; spans do not overlap unless the readings do.

    Found: mobile numbers, and fixed lines with their area code, in digits of any script, Chinese numerals
    (also 〇, 幺, 两, 壹), circled digits, keycaps, with letters that look like digits (O, l, S, Z, B …) among
    them, with up to 24 spaces, line ends, dashes, signs or emoji, or a few letters of a kind, between digits,
    and any number of invisible characters; with +86, 0086, 0, or a carrier's prefix (17951, 12593) before;
    two or more written together. Not found: digits within a longer group, 700 numbers, dates, times, amounts,
    cards, addresses, lists of round figures; and nothing that is not written in digits.
    """
    if len(text) < _FEWEST // 3:  # 💯 has three digits
        return []
    reading = read(text)
    letters = as_letters(reading.classes)
    figures = _Once(lambda: Figures(reading.text, letters))
    found = _search(reading, letters, figures)
    digits = as_digits(reading.classes)
    if digits is not None:
        found += _search(reading, digits, figures)
        found.sort(key=lambda span: (span.start, -span.end))
    spans: list[Span] = []
    for span in found:
        if not spans or span.end > spans[-1].end:
            spans.append(span)
    return spans


def mask(text: str) -> str:
    """``text`` with every number in it replaced by eleven stars."""
    return replace(text, lambda span: _STARS)


def replace(text: str, written: Callable[[Span], str]) -> str:
    """``text`` with ``written(span)`` in place of every number, and of those that come to light by that."""
    for _ in range(_MAX_PASSES):
        spans = find_numbers(text)
        if not spans:
            break
        pieces, at = [], 0
        for span in spans:
            if span.start >= at:
                pieces += [text[at : span.start], written(span)]
            at = max(at, span.end)
        text = "".join(pieces) + text[at:]
    return text


class _Once:
    """What is made when it is asked for, and kept."""

    def __init__(self, make: Callable[[], Figures]) -> None:
        self._make = make
        self._made: Figures | None = None

    def __call__(self) -> Figures:
        if self._made is None:
            self._made = self._make()
        return self._made


def _search(reading: Reading, classes: str, figures: Callable[[], Figures]) -> list[Span]:
    """The numbers of a text in which each character has been decided on."""
    spans: list[Span] = []
    gaps = _Gaps(reading.text, classes)
    groups: list[tuple[int, int]] = []
    kinds: list[int] = []  # of what stands before each group
    size = 0
    for found in _GROUP.finditer(classes):
        start, end = found.span()
        kind = gaps.kind(groups[-1][1], start) if groups else BROKEN
        if kind == BROKEN and groups:
            if size >= _FEWEST:
                _look(reading, DigitRun(reading.text, classes, groups, kinds, figures), spans)
            groups, kinds, size = [], [], 0
        groups.append((start, end))
        kinds.append(kind)
        size += end - start
    if size >= _FEWEST:
        _look(reading, DigitRun(reading.text, classes, groups, kinds, figures), spans)
    return spans


def _look(reading: Reading, run: DigitRun, spans: list[Span]) -> None:
    """Add the numbers of ``run``."""
    for first in run.beginnings():
        for number in run.numbers_from(first):
            if number.middle:
                continue
            start, end = run.place(number)
            start -= start > 0 and reading.text[start - 1] in "+＋"
            start, end = reading.place(start, end)
            if not spans or end > spans[-1].end:
                spans.append(Span(start, end, number.national))


class _Gaps:
    """What may stand between two groups of a run."""

    def __init__(self, text: str, classes: str) -> None:
        self._text, self._classes = text, classes
        self._known: dict[str, int] = {"": JOINED}

    def kind(self, start: int, end: int) -> int:
        if end - start >= len(_STARS) and _STARS in self._text[start:end]:
            return BROKEN
        gap = self._classes[start:end]
        kind = self._known.get(gap)
        if kind is None:
            kind = _kind(gap.replace("z", ""))
            if len(gap) <= MAX_SEPARATORS:
                self._known[gap] = kind
        return kind


def _kind(seen: str) -> int:
    if not seen:
        return JOINED
    if len(seen) > MAX_SEPARATORS:
        return BROKEN
    if "x" not in seen:
        return SOFT
    return LETTERS if _LETTER_GAP.fullmatch(seen) else BROKEN
