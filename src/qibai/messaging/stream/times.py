"""Times as SMPP (3.4 §7.1.1) and CMPP write them, and the short dates inside receipts."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from qibai.core.pilot.calendar import BEIJING

_TIME: Final = re.compile(6 * "([0-9]{2})" + "([0-9])([0-9]{2})([-+R])")
_SHORT: Final = re.compile("(?:20)?" + 5 * "([0-9]{2})" + "([0-9]{2})?")


def read_time(text: str, now: datetime) -> datetime | None:
    """An absolute or a relative time; None for the empty string. Raise ValueError."""
    if not text:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    year, month, day, hour, minute, second, tenth, quarters = map(int, found.groups()[:8])
    if found[9] == "R":  # a month of 30 days, a year of 365
        days = year * 365 + month * 30 + day
        return now + timedelta(days=days, hours=hour, minutes=minute, seconds=second)
    if quarters > 48:
        raise ValueError("no such time zone")
    offset = timedelta(minutes=15 * quarters) * (-1 if found[9] == "-" else 1)
    return datetime(2000 + year, month, day, hour, minute, second, tenth * 100_000, tzinfo=timezone(offset))


def write_validity(until: datetime, now: datetime) -> str:
    """A relative time, which needs no agreement of clocks; from one second to 30 days."""
    left = min(max(until - now, timedelta(seconds=1)), timedelta(days=30))
    hours, rest = divmod(left.seconds, 3600)
    return f"0000{left.days:02d}{hours:02d}{rest // 60:02d}{rest % 60:02d}000R"


def write_until(until: datetime) -> str:
    """The absolute time, in Beijing's; for peers whose clock is right and who know no relative times."""
    return f"{until.astimezone(BEIJING):%y%m%d%H%M%S}032+"


def read_short(text: str) -> datetime | None:
    """A receipt's date, YYMMDDhhmm, perhaps with seconds or century, in Beijing's time; None: unreadable."""
    found = _SHORT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=BEIJING).astimezone(UTC)
    except ValueError:
        return None


def write_short(at: datetime) -> str:
    return f"{at.astimezone(BEIJING):%y%m%d%H%M}"
