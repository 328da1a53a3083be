"""A run of digits with separators between them: which numbers are written in it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Final

from qibai.core.text.characters import ALIKE, LONE, TO_ASCII
from qibai.core.text.figures import Figures, is_list
from qibai.core.text.plan import FIRST_DIGITS, Dialled, dialled, in_use

JOINED, SOFT, LETTERS, BROKEN = range(4)  #: what is between two groups: nothing, signs, letters, too much

_UNITS: Final = frozenset(
    "元块圆角分毛年月日号时秒天周岁人个件只台套箱包袋盒瓶斤克吨米里升层楼室栋幢座户门路弄街段度倍次位名条张本页章节届期级万亿"
)
_LATIN_UNITS: Final = frozenset(
    {"g", "kg", "mg", "m", "mm", "cm", "km", "ml", "kw", "hz", "px", "kb", "mb", "gb", "tb"}
)
_ALIKES: Final = frozenset(ALIKE)
_USUAL: Final = frozenset({3, 7})  # where people part a mobile number: 138 0013 8000


class DigitRun:
    """``numbers_from`` reads the run from each of its groups; all of them together take linear time."""

    def __init__(
        self,
        text: str,
        classes: str,
        groups: Sequence[tuple[int, int]],
        kinds: Sequence[int],
        figures: Callable[[], Figures],
    ) -> None:
        """``groups``: where they stand in ``text``; ``kinds``: what is before each."""
        self._text, self._classes, self._groups, self._kinds = text, classes, groups, kinds
        self._figures = figures
        written = [classes[start:end].translate(TO_ASCII) for start, end in groups]
        self._digits = "".join(written)
        self._at = [0, *accumulate(map(len, written))]
        self._ends = set(self._at[1:])
        self._has_alike = not _ALIKES.isdisjoint(map(classes.__getitem__, (start for start, _ in groups)))
        if self._has_alike:
            self._ends = {self._at[index + 1] for index in range(len(groups)) if self._may_end(index)}
        self._dead: set[int] = set()

    def beginnings(self) -> list[int]:
        """The groups with which a number may begin."""
        digits = self._digits
        found = [index for index, at in enumerate(self._at[:-1]) if digits[at] in FIRST_DIGITS]
        return [index for index in found if self._may_begin(index)] if self._has_alike else found

    def numbers_from(self, first: int) -> list[Dialled]:
        """The numbers, written together, that begin with this group and end with a group. Empty: none do."""
        path: list[Dialled] = []
        trying = [self._pieces(self._at[first])]
        while trying:
            if not trying[-1]:
                trying.pop()
                if path:
                    self._dead.add(path.pop().end)
                continue
            piece = trying[-1].pop(0)
            if piece.end in self._ends:
                return [*path, piece]
            if piece.end not in self._dead:
                path.append(piece)
                trying.append(self._pieces(piece.end))
        return []

    def place(self, number: Dialled) -> tuple[int, int]:
        """Where a number of this run stands in the text."""
        return self._position(number.start), self._position(number.end - 1) + 1

    def _pieces(self, at: int) -> list[Dialled]:
        return [piece for piece in dialled(self._digits, at) if self._is_meant(piece)]

    def _may_begin(self, index: int) -> bool:
        """Returns False in the middle of what stands together: a likeness right after digits."""
        return not (self._is_alike(index) and self._follows_digits(index))

    def _may_end(self, index: int) -> bool:
        after = index + 1
        return not (
            self._is_alike(index)
            and after < len(self._groups)
            and self._kinds[after] == JOINED
            and self._stand_together(after)
        )

    def _follows_digits(self, index: int) -> bool:
        return index > 0 and self._kinds[index] == JOINED and self._stand_together(index - 1)

    def _is_alike(self, index: int) -> bool:
        return self._classes[self._groups[index][0]] in ALIKE

    def _stand_together(self, index: int) -> bool:
        return self._classes[self._groups[index][0]] not in ALIKE + LONE

    def _position(self, digit: int) -> int:
        index = bisect_right(self._at, digit) - 1
        start, end = self._groups[index]
        rest = digit - self._at[index]
        if end - start == self._at[index + 1] - self._at[index]:
            return start + rest
        seen = [at for at in range(start, end) if self._classes[at] != "z"]
        return seen[rest]

    def _is_meant(self, number: Dialled) -> bool:
        """Returns True if these digits, with what stands between them, are meant as a number."""
        first, last = bisect_right(self._at, number.start) - 1, bisect_left(self._at, number.end) - 1
        parted = [index for index in range(first + 1, last + 1) if self._kinds[index] != JOINED]
        alike = self._has_alike and sum(self._is_alike(index) for index in range(first, last + 1))
        if alike and number.end - number.start - alike < (3 if parted else 2):
            return False
        if not parted:
            return number.mobile or number.middle or self._is_whole_fixed(number)
        if number.middle:
            return False
        start, end = self.place(number)
        figures = self._figures()
        if figures.hold(start, end):
            return False
        return (self._is_mobile if number.mobile else self._is_fixed)(number, parted, start, end)

    def _is_mobile(self, number: Dialled, parted: list[int], start: int, end: int) -> bool:
        own = [index for index in parted if self._at[index] > number.national_at]
        if any(self._kinds[index] == LETTERS for index in parted[: len(parted) - len(own)]):
            return False
        cuts = {self._at[index] - number.national_at for index in own}
        shaped = cuts <= _USUAL or cuts >= _USUAL
        times = self._figures().times(start, end)
        if times >= 2 or (times and not shaped):
            return False
        bounds = [0, *sorted(cuts), len(number.national)]
        groups = [number.national[a:b] for a, b in pairwise(bounds)]
        gaps = [self._gap(index) for index in own]
        if is_list(groups, gaps, shaped=shaped) and self._figures().are_plain(start, end):
            return False
        from_zero = any(group[0] == "0" for group in groups)
        if not shaped and not from_zero and self._figures().is_money(start, end):
            return False
        letters = [index for index in own if self._kinds[index] == LETTERS]
        if not letters:
            return True
        between = [self._gap(index).strip().casefold() for index in letters]
        is_unit = any(text in _LATIN_UNITS or not _UNITS.isdisjoint(text) for text in between)
        if not in_use(number.national) or (is_unit and not from_zero):
            return False
        if len(set(between)) == 1:
            return shaped or len(between) >= 3
        return cuts <= _USUAL and all(len(text) <= 2 for text in between)

    def _is_whole_fixed(self, number: Dialled) -> bool:
        """Whether digits without anything between them are a fixed line: 86 alone is no sign of it."""
        return self._prefix(number) != "86" or self._has_plus(number)

    def _is_fixed(self, number: Dialled, parted: list[int], start: int, end: int) -> bool:
        if self._figures().times(start, end) or any(self._kinds[index] == LETTERS for index in parted):
            return False
        area = number.area_length
        cuts = {self._at[index] - number.national_at: self._gap(index) for index in parted}
        if self._prefix(number) == "86" and not self._has_plus(number) and 0 not in cuts:
            return False
        if self._prefix(number).endswith("0") and 0 in cuts and ")" not in cuts[0] and "）" not in cuts[0]:
            return False
        return all(cut <= 0 or cut in (area, area + 3, area + 4) for cut in cuts)

    def _prefix(self, number: Dialled) -> str:
        return self._digits[number.start : number.national_at]

    def _has_plus(self, number: Dialled) -> bool:
        start = self._position(number.start)
        return start > 0 and self._text[start - 1] in "+＋"

    def _gap(self, index: int) -> str:
        return self._text[self._groups[index - 1][1] : self._groups[index][0]]
