"""What a program can compare of a page and its translation, section by section.

Code is the same in both languages: fenced blocks, words between backticks, tables' shapes, headings'
levels, and where links lead. A figure of the English text stands in the translation as well.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Final

LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^```\w*$")
_HEADING: Final = re.compile(r"^(#{1,6}) (.+)$")
_CODE: Final = re.compile(r"`([^`]+)`")
_FIGURE: Final = re.compile(r"\d(?:[\d,.:]*\d)?")


@dataclass(slots=True)
class Section:
    """A heading and what stands below it, up to the next heading of any level."""

    page: str
    line: int
    level: int
    title: str
    blocks: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line} ({self.title})"

    @property
    def tables(self) -> list[int]:
        """The columns of each row."""
        rows = (line for line in self.text if line.startswith("|"))
        return [len(re.findall(r"(?<!\\)\|", _CODE.sub("", row))) - 1 for row in rows]

    @property
    def codes(self) -> Counter[str]:
        found = _CODE.findall("\n".join(self.text))
        return Counter(" ".join(code.split()) for code in found)

    @property
    def figures(self) -> Counter[str]:
        prose = LINK.sub("", _CODE.sub("", "\n".join(self.text)))
        return Counter(set(_FIGURE.findall(prose)))

    @property
    def links(self) -> list[str]:
        return LINK.findall(_CODE.sub("", "\n".join(self.text)))


def sections(page: str, text: str) -> list[Section]:
    found: list[Section] = []
    block: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if block is not None:
            block.append(line)
            if line == "```":
                found[-1].blocks.append("\n".join(block))
                block = None
        elif _FENCE.match(line):
            block = [line]
        elif heading := _HEADING.match(line):
            found.append(Section(page, number, len(heading[1]), heading[2]))
        else:
            found[-1].text.append(line)
    return found


def differences(english: list[Section], chinese: list[Section]) -> Iterator[str]:
    """A sentence for each difference, with both places."""
    for one, other in zip_longest(english, chinese):
        if one is None or other is None or one.level != other.level:
            places = [section.place if section else "the end of the page" for section in (one, other)]
            yield f"{places[0]} and {places[1]}: the headings differ in number or level from here on"
            return
        both = f"{one.place} and {other.place}"
        for index, (mine, theirs) in enumerate(zip_longest(one.blocks, other.blocks), 1):
            if mine != theirs and not _same_session(mine, theirs):
                yield f"{both}: code block {index} of the section differs{_first_line(mine, theirs)}"
                break
        if one.tables != other.tables:
            yield (
                f"{both}: tables have {len(one.tables)} and {len(other.tables)} rows"
                if len(one.tables) != len(other.tables)
                else f"{both}: rows of tables differ in their columns"
            )
        yield from _only(f"{both}: between backticks", one.codes, other.codes)
        for figure in one.figures - other.figures:
            yield f"{both}: the figure {figure} stands in English only"


def _same_session(mine: str | None, theirs: str | None) -> bool:
    """Returns True if both are the same commands, with as many lines of output in the page's language."""
    if mine is None or theirs is None:
        return False
    blocks = mine.splitlines(), theirs.splitlines()
    given, again = ([line for line in block if line.startswith("$ ")] for block in blocks)
    return bool(given) and given == again and len(blocks[0]) == len(blocks[1])


def _first_line(english: str | None, chinese: str | None) -> str:
    if english is None or chinese is None:
        return f": it stands in {'Chinese' if english is None else 'English'} only"
    lines = zip_longest(english.splitlines(), chinese.splitlines(), fillvalue="nothing")
    mine, theirs = next((mine, theirs) for mine, theirs in lines if mine != theirs)
    return f":\n    English: {mine}\n    Chinese: {theirs}"


def _only(where: str, english: Counter[str], chinese: Counter[str]) -> Iterator[str]:
    for language, more in (("English", english - chinese), ("Chinese", chinese - english)):
        if more:
            yield f"{where}, more often in {language}: {', '.join(f'`{code}`' for code in more)}"


def anchor(title: str) -> str:
    """What GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", LINK.sub("", title).strip().lower())
    return kept.replace(" ", "-")


def broken(page: Path) -> Iterator[str]:
    """Links of a page to what is not there: files, and headings of pages."""
    for section in sections(page.name, page.read_text("utf-8")):
        for link in section.links:
            if "://" in link:
                continue
            name, _, wanted = link.partition("#")
            target = page.parent / name if name else page
            if not target.exists():
                yield f"{section.place}: {link}: there is no such file"
            elif wanted and wanted not in {
                anchor(one.title) for one in sections(target.name, target.read_text("utf-8"))
            }:
                yield f"{section.place}: {link}: there is no such heading"
