"""Figures that are no phone numbers, as they stand in messages, notes and logs."""

import random
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Final

Figure = Callable[[random.Random, datetime], str]


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choices("0123456789", k=count))


def _parted(text: str, sizes: tuple[int, ...], by: str) -> str:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return by.join(pieces)


def _order(draw: random.Random, at: datetime) -> str:
    size = draw.choice([12, 13, 14, 16, 18, 19, 20, 22, 28])
    head = draw.choice(["", f"{at:%Y%m%d}", f"{at:%Y%m%d%H%M%S}", "4200", "T", "DD"])
    return "订单号" + head + _digits(draw, max(size - len(head), 12))


def _tracking(draw: random.Random, at: datetime) -> str:
    head, size = draw.choice(
        [("SF", 13), ("YT", 13), ("JT", 13), ("78", 12), ("43", 13), ("77", 13), ("JDVB", 11 + 1)]
    )
    return draw.choice(["快递", "运单 ", "No. "]) + head + _digits(draw, size)


def _moment(draw: random.Random, at: datetime) -> str:
    forms = [
        "%Y-%m-%d %H:%M:%S",
        "%m-%d %H:%M-%H:%M",
        "%Y年%m月%d日%H点%M分",
        "%d.%m.%Y %H:%M",
        "%Y%m%d%H%M%S",
    ]
    return at.strftime(draw.choice([*forms, "%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S+08:00"]))


def _stamp(draw: random.Random, at: datetime) -> str:
    return draw.choice([f"{at.timestamp():.0f}", f"{at.timestamp() * 1000:.0f}", f"{at.timestamp():.6f}"])


def _amount(draw: random.Random, at: datetime) -> str:
    value = draw.randrange(10**9, 2 * 10**10)
    return draw.choice(
        [f"¥{value:,}", f"{value:,}.50元", f"{value / 1000:.2f}元", f"共{draw.randrange(10**5)}元"]
    )


def _prices(draw: random.Random, at: datetime) -> str:
    first, second, third = (
        draw.randrange(13, 20) * 100,
        draw.randrange(11, 99) * 100,
        draw.randrange(1, 10) * 100,
    )
    return draw.choice(["{} {} {}", "{}/{}/{}", "{}元 {}元 {}元", "{}x{}x{}mm", "{}、{}、{}"]).format(
        first, second, third
    )


def _middle(draw: random.Random, at: datetime) -> str:
    number = "700" + _digits(draw, 12)
    return draw.choice(
        [number, _parted(number, (3, 4, 4, 4), draw.choice(" -")), _parted(number, (11, 4), " ")]
    )


def _card(draw: random.Random, at: datetime) -> str:
    number = draw.choice(["6222", "6217", "6228"]) + _digits(draw, 15)
    return draw.choice(
        [number, _parted(number, (4, 4, 4, 4, 3), " "), _parted(number[:16], (4, 4, 4, 4), "-")]
    )


def _identity(draw: random.Random, at: datetime) -> str:
    number = (
        draw.choice(["110101", "440301", "510104"])
        + f"{at.year - 30}{at:%m%d}"
        + _digits(draw, 3)
        + draw.choice("0123X")
    )
    return draw.choice([number, _parted(number, (6, 8, 4), " "), _parted(number, (6, 4, 4, 4), " ")])


def _network(draw: random.Random, at: datetime) -> str:
    octets = ".".join(str(draw.randrange(256)) for _ in range(4))
    return draw.choice(
        [octets, f"192.168.{draw.randrange(256)}.{draw.randrange(256)}:{draw.randrange(1024, 65536)}"]
    )


def _id(draw: random.Random, at: datetime) -> str:
    whole = uuid.UUID(int=draw.getrandbits(128))
    crockford = "".join(draw.choices("0123456789abcdefghjkmnpqrstvwxyz", k=12))
    return draw.choice([str(whole), whole.hex, f"b{_digits(draw, 8)}-0{crockford}"])


def _service(draw: random.Random, at: datetime) -> str:
    return draw.choice(
        ["10086", "95588", "400-" + _parted(_digits(draw, 7), (3, 4), "-"), "12306", "110 119 120"]
    )


def _chat(draw: random.Random, at: datetime) -> str:
    a, b, c = draw.randrange(1, 300), draw.randrange(1, 60), draw.randrange(1, 9_000)
    return draw.choice(
        [
            f"{a}人报名，{c}元，{b}件",
            f"{b}号楼{b % 30 + 1}单元{a}室，密码{c}",
            f"I have {a} boxes, {b} kg, {c} pieces left",
            f"取件码 {b}-{b % 9}-{c}",
            f"v{b}.{b % 10}.{b % 7} build {c}",
            f"身高{a}体重{b}，尾号{c}",
            f"评分{b / 10}，{c}条评论，{a}米",
        ]
    )


def _list(draw: random.Random, at: datetime) -> str:
    return draw.choice([" ", ", ", "\n"]).join(str(draw.randrange(100)) for _ in range(draw.randrange(4, 12)))


OTHERS: Final[dict[str, Figure]] = {
    "order numbers": _order,
    "tracking numbers": _tracking,
    "dates and times": _moment,
    "time stamps": _stamp,
    "amounts": _amount,
    "prices and measures": _prices,
    "700 numbers": _middle,
    "bank cards": _card,
    "identity cards": _identity,
    "network addresses": _network,
    "ids": _id,
    "service numbers": _service,
    "everyday figures": _chat,
    "lists of figures": _list,
}
