"""Msg_Id (CMPP §7.4.3.2): 64 bits of time, gateway and sequence; unique for a year."""

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from qibai.core.pilot.calendar import BEIJING

_SEQUENCES: Final = 0x1_0000


def compose(at: datetime, gateway: int, sequence: int) -> int:
    """Month (4 bits), day (5), hour (5), minute (6), second (6), Beijing's; gateway (22); sequence (16)."""
    local = at.astimezone(BEIJING)
    value = local.month
    for bits, part in ((5, local.day), (5, local.hour), (6, local.minute), (6, local.second)):
        value = value << bits | part
    return (value << 22 | gateway & 0x3F_FFFF) << 16 | sequence & 0xFFFF


def msg_ids(gateway: int, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[int]:
    """New ones for ever: a second that has used its 65,536 borrows from the next.

    The sequence begins at random, so that a restart within a second does not repeat what it gave before.
    """
    second, used, sequence = int(now().timestamp()), 0, secrets.randbelow(_SEQUENCES)
    while True:
        current = int(now().timestamp())
        if current > second:
            second, used = current, 0
        elif used == _SEQUENCES:
            second, used = second + 1, 0
        used, sequence = used + 1, sequence + 1
        yield compose(datetime.fromtimestamp(second, UTC), gateway, sequence)


def received_ref(msg_id: int, now: datetime) -> str:
    """What we know a received message by: ids come again after a year, so the likeliest year stands before
    it; 0000 when it names no month."""
    month = msg_id >> 60
    local = now.astimezone(BEIJING)
    years = {abs(12 * year + month - local.month): year for year in (1, 0, -1)}
    year = local.year + years[min(years)] if 1 <= month <= 12 else 0
    return f"{year:04d}{msg_id:016x}"


def sent_ref(msg_id: int) -> str:
    """What a peer's answer and its reports call a message of ours."""
    return f"{msg_id:016x}"


def swapped(msg_id: int) -> list[int]:
    """What a peer may mean that writes the octets, or the two halves, in another order than in its answer."""
    octets = msg_id.to_bytes(8, "big")
    others = (octets[::-1], octets[4:] + octets[:4], octets[3::-1] + octets[:3:-1])
    return [other for one in dict.fromkeys(others) if (other := int.from_bytes(one, "big")) != msg_id]


def id_of(ref: str) -> int:
    """The Msg_Id in either kind of ref. Raise ValueError."""
    return int(ref[-16:], 16)
