"""Texts with real numbers written in many ways, and texts with other figures; the same for the same seed."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from bench.masker_figures import OTHERS

_FRAMES: Final = (
    "{}",
    "请打{}，谢谢",
    "我的电话是{}",
    "加微信 {} 详聊",
    "到了打这个：{}。",
    "please call {} when you are here",
    "Tel:{}",
    "快递放门口，有事{}",
    "2号楼301室 {} 王先生",
    "明天18:30到，{}，给您留了3件",
)
_ALPHABETS: Final = {
    "Chinese numerals": ("〇一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖", "洞幺两三四五六拐八勾"),
    "circled and other signs": ("⓪①②③④⑤⑥⑦⑧⑨", "⓿❶❷❸❹❺❻❼❽❾", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"),
    "other scripts": ("٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９", "๐๑๒๓๔๕๖๗๘๙"),
}
_ALIKE: Final = {"0": "OoО", "1": "lI|", "2": "Z", "3": "З", "5": "S", "6": "b", "8": "B"}
_SEPARATORS: Final = (*" -.·_/=:;,~*+#%—|、，。…×", "  ", " - ", "--", "……")
_EMOJI: Final = ("😀", "👍🏽", "❤️", "☎️", "➡️")
_UNSEEN: Final = ("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad")
_JOINTS: Final = ("x", "转", "和", "加", "空格", "a", "o")
_CARRIERS: Final = ("17951", "17911", "17909", "12593", "10193")


@dataclass(frozen=True, slots=True)
class Text:
    """``numbers``: the real numbers in it, as dialled at home; none where it only holds other figures."""

    kind: str
    text: str
    numbers: tuple[str, ...] = ()


def mobile(draw: random.Random) -> str:
    head = draw.choice(["13", "15", "17", "18", "19"])
    third = draw.choice("012356789" if head != "17" else "012356783")
    return head + third.replace("4", "3") + "".join(draw.choices("0123456789", k=8))


def with_numbers(seed: int, count: int) -> Iterator[Text]:
    """``count`` texts, each way to write a number as often as the others."""
    draw = random.Random(seed)
    ways = list(_WAYS.items())
    for index in range(count):
        kind, write = ways[index % len(ways)]
        numbers, written = write(draw)
        yield Text(kind, draw.choice(_FRAMES).format(written), numbers)


def without_numbers(seed: int, count: int) -> Iterator[Text]:
    """``count`` texts whose figures are something else."""
    draw = random.Random(seed)
    moment = datetime(2026, 1, 1)  # noqa: DTZ001 - only its writing matters
    kinds = list(OTHERS.items())
    for index in range(count):
        kind, write = kinds[index % len(kinds)]
        moment += timedelta(seconds=draw.randrange(1, 5_000))
        yield Text(kind, draw.choice(_FRAMES).format(write(draw, moment)))


def beyond_reach(seed: int, count: int) -> Iterator[Text]:
    """``count`` texts in which a person reads a number, but no digit stands for each of its digits."""
    draw = random.Random(seed)
    words = (
        ("ling", "yao", "er", "san", "si", "wu", "liu", "qi", "ba", "jiu"),
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        "淋衣儿伞撕舞溜妻扒酒",
    )
    for _ in range(count):
        number = mobile(draw)
        kind = draw.randrange(4)
        if kind == 3:
            text = f"{int(number) - 1} 再加一"
        else:
            text = ("" if kind == 2 else " ").join(words[kind][int(digit)] for digit in number)
        yield Text("beyond reach", draw.choice(_FRAMES).format(text), (number,))


def _pieces(draw: random.Random, number: str) -> list[str]:
    """Cut as people cut: mostly 3-4-4."""
    cuts = draw.choice(
        [(3, 7), (3, 7), (3, 7), (3,), (7,), (5,), (4, 8), (3, 6, 9), (2, 5, 8), tuple(range(1, 11))]
    )
    bounds = [0, *cuts, len(number)]
    return [number[a:b] for a, b in pairwise(bounds)]


Way = Callable[[random.Random], tuple[tuple[str, ...], str]]


def _joined(choose: Callable[[random.Random], str], *, same: bool = True) -> Way:
    def write(draw: random.Random) -> tuple[tuple[str, ...], str]:
        number = mobile(draw)
        pieces, one = _pieces(draw, number), choose(draw)
        text = pieces[0]
        for piece in pieces[1:]:
            text += (one if same else choose(draw)) + piece
        return (number,), text

    return write


def _in(alphabets: tuple[str, ...]) -> Way:
    def write(draw: random.Random) -> tuple[tuple[str, ...], str]:
        number = mobile(draw)
        digits = draw.choice(alphabets)
        between = draw.choice(["", "", " ", "-"])
        return (number,), between.join(
            "".join(digits[int(digit)] for digit in piece) for piece in _pieces(draw, number)
        )

    return write


def _alike(draw: random.Random) -> tuple[tuple[str, ...], str]:
    number = mobile(draw)
    share = draw.choice([0.3, 0.6])
    written = "".join(
        draw.choice(_ALIKE[digit]) if digit in _ALIKE and draw.random() < share else digit for digit in number
    )
    return (number,), draw.choice([written, f"{written[:3]} {written[3:7]} {written[7:]}"])


def _mixed(draw: random.Random) -> tuple[tuple[str, ...], str]:
    number = mobile(draw)
    every = ["0123456789", *(digits for group in _ALPHABETS.values() for digits in group)]
    text = ""
    for digit in number:
        text += draw.choice(every)[int(digit)] + draw.choice(["", "", "", draw.choice(_UNSEEN), "-"])
    return (number,), text


def _letters(draw: random.Random) -> tuple[tuple[str, ...], str]:
    number = mobile(draw)
    return (number,), draw.choice(_JOINTS).join((number[:3], number[3:7], number[7:]))


def _prefixed(draw: random.Random) -> tuple[tuple[str, ...], str]:
    number = mobile(draw)
    prefix = draw.choice(
        ["0", "+86", "+86 ", "0086", "0086-", "86", *_CARRIERS, draw.choice(_CARRIERS) + " "]
    )
    return (number,), prefix + draw.choice([number, f"{number[:3]} {number[3:7]} {number[7:]}"])


def _plain(draw: random.Random) -> tuple[tuple[str, ...], str]:
    number = mobile(draw)
    return (number,), number


def _two(draw: random.Random) -> tuple[tuple[str, ...], str]:
    one, two = mobile(draw), mobile(draw)
    return (one, two), one + draw.choice(["", "", "/", " ", "、", "0"]) + two


def _keycaps(draw: random.Random) -> tuple[tuple[str, ...], str]:
    number = mobile(draw)
    return (number,), "".join(digit + "\ufe0f\u20e3" for digit in number)


def _lines(draw: random.Random) -> tuple[tuple[str, ...], str]:
    number = mobile(draw)
    end = draw.choice(["\n", "\r\n", "-\n", "\n  "])
    return (number,), end.join((number[:3], number[3:7], number[7:]))


def _fixed(draw: random.Random) -> tuple[tuple[str, ...], str]:
    area = draw.choice(["10", "21", "20", "755", "571", "28", "532"])
    local = draw.choice("2345678") + "".join(draw.choices("0123456789", k=7))
    written = draw.choice(["0{}-{}", "0{}{}", "(0{}){}", "+86 {} {}", "0{} {}", "+86-{}-{}"]).format(
        area, local
    )
    return (area + local,), written


_WAYS: Final[dict[str, Way]] = {
    "plain": _plain,
    "separators": _joined(lambda draw: draw.choice(_SEPARATORS)),
    "wide gaps": _joined(lambda draw: draw.choice([" ", "\u3000", "_", "."]) * draw.randrange(3, 13)),
    "emoji between": _joined(lambda draw: draw.choice(_EMOJI), same=False),
    "unseen between": _joined(lambda draw: draw.choice(_UNSEEN) * draw.randrange(1, 4), same=False),
    "letters between": _letters,
    **{kind: _in(alphabets) for kind, alphabets in _ALPHABETS.items()},
    "keycaps": _keycaps,
    "letters for digits": _alike,
    "all mixed": _mixed,
    "prefixes": _prefixed,
    "two together": _two,
    "over lines": _lines,
    "fixed lines": _fixed,
}
