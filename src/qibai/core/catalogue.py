"""Chinese for every text that people read: the catalogue ``zh_CN.po`` maps each English text to Chinese.

The file has gettext's format, which translators and their editors know. In a text, ``{0}`` and ``{1}`` stand
for values. Errors are raised in English everywhere. An edge translates a text when it shows the text, because
only the edge knows its reader. A text with values is found by its shape; its values are translated in turn.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = Path(__file__).with_name("zh_CN.po")
_ENTRY: Final = re.compile(r'^msgid ((?:"[^\n]*"\n)+)msgstr ((?:"[^\n]*"(?:\n|\Z))+)', re.MULTILINE)
_VALUE: Final = re.compile(r"\{(\d)\}")
#: Signs between sentences and their parts. Where a whole text is unknown, its parts may be known.
_JOINTS: Final = (("; ", "；"), (": ", "："), (" or ", "或"), (" and ", " 和 "))


class _Shape(NamedTuple):
    """A text with values."""

    pieces: tuple[str, ...]  #: what stands around the values
    chinese: str

    @property
    def certainty(self) -> int:
        """The more letters are fixed, the less another text looks alike."""
        return sum(one.isalpha() for one in "".join(self.pieces))

    @property
    def is_sure(self) -> bool:
        """Returns False if so few letters are fixed that whole sentences look like it."""
        return self.pieces[0] != "" or self.certainty >= 10

    def values_in(self, text: str) -> tuple[str, ...] | None:
        """The values that make this shape the text; None if none do."""
        if not text.startswith(self.pieces[0]) or not all(piece in text for piece in self.pieces):
            return None
        found = re.fullmatch("(.*?)".join(map(re.escape, self.pieces)), text, re.DOTALL)
        return None if found is None else found.groups()


def read(text: str) -> Iterator[tuple[str, str]]:
    """Each entry of a catalogue in gettext's format: the English text and the Chinese one."""
    for found in _ENTRY.finditer(text):
        english, chinese = (
            "".join(ast.literal_eval(line) for line in part.splitlines()) for part in found.groups()
        )
        if english:  # the first entry describes the file
            yield english, chinese


@cache
def _catalogue() -> tuple[dict[str, str], tuple[_Shape, ...]]:
    """Texts without values, and shapes of texts with values, the most certain first."""
    plain: dict[str, str] = {}
    shapes: list[_Shape] = []
    for english, chinese in read(FILE.read_text("utf-8")):
        if _VALUE.search(english):
            pieces = _VALUE.split(english)[::2]
            shapes.append(_Shape(tuple(map(_unescaped, pieces)), chinese))
        else:
            plain[_unescaped(english)] = _unescaped(chinese)
    shapes.sort(key=lambda one: -one.certainty)
    return plain, tuple(shapes)


def _unescaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def chinese(text: str) -> str:
    """The text in Chinese. What the catalogue does not know stays as it is."""
    plain, shapes = _catalogue()
    known = plain.get(text)
    if known is not None:
        return known
    if not text.strip():
        return text
    return (
        _by_shape(text, [one for one in shapes if one.is_sure])
        or _by_parts(text)
        or _by_shape(text, [one for one in shapes if not one.is_sure])
        or text
    )


def _by_shape(text: str, shapes: Iterable[_Shape]) -> str | None:
    for shape in shapes:
        values = shape.values_in(text)
        if values is not None:
            return shape.chinese.format(*map(chinese, values))
    return None


def _by_parts(text: str) -> str | None:
    for joint, sign in _JOINTS:
        left, found, right = text.partition(joint)
        if found:
            parts = chinese(left), chinese(right)
            if parts != (left, right):
                return sign.join(parts)
    return None
