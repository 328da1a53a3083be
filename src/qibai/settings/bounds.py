"""What the configuration's values may be: each kind has a least and a most that make sense.

A span beyond these is a slip of the pen, and would overflow the database's times.
"""

import re
from collections.abc import Iterable
from datetime import date
from ipaddress import ip_address, ip_network
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from qibai.core.ids import NODES

_DAY_S: Final = 86_400
_YEAR_S: Final = 366 * _DAY_S
NAME_LENGTH: Final = 64
#: A call takes four ports: RTP and RTCP on either side. Fewer than ten calls is no relay.
LEAST_MEDIA_PORTS: Final = 40

NodeNumber = Annotated[int, Meta(ge=-1, lt=NODES)]
PortNumber = Annotated[int, Meta(ge=1, le=65_535)]
PortOrOff = Annotated[int, Meta(ge=0, le=65_535)]
Workers = Annotated[int, Meta(ge=1, le=256)]
Milliseconds = Annotated[int, Meta(ge=1, le=600_000)]
Waiting = Annotated[int, Meta(ge=1, le=3_600)]  # seconds that somebody waits for an answer
WaitingOrNone = Annotated[int, Meta(ge=0, le=3_600)]
Patience = Annotated[float, Meta(gt=0, le=3_600)]
ADay = Annotated[int, Meta(ge=1, le=_DAY_S)]
AWeek = Annotated[int, Meta(ge=1, le=7 * _DAY_S)]
AWeekOrNone = Annotated[int, Meta(ge=0, le=7 * _DAY_S)]
AMonth = Annotated[int, Meta(ge=1, le=31 * _DAY_S)]
AMonthOrNone = Annotated[int, Meta(ge=0, le=31 * _DAY_S)]
AYearOrNone = Annotated[int, Meta(ge=0, le=_YEAR_S)]
TenYears = Annotated[int, Meta(ge=1, le=10 * _YEAR_S)]
TenYearsOrNone = Annotated[int, Meta(ge=0, le=10 * _YEAR_S)]
ApprovalS = Annotated[int, Meta(ge=60, le=31 * _DAY_S)]
SinkS = Annotated[float, Meta(gt=0, le=30)]
KeptDays = Annotated[int, Meta(ge=183, le=36_600)]
Days = Annotated[int, Meta(ge=1, le=3_660)]
DaysOrNone = Annotated[int, Meta(ge=0, le=3_660)]
Hours = Annotated[int, Meta(ge=1, le=24 * 366)]
HoursOrNone = Annotated[int, Meta(ge=0, le=24 * 3_660)]
Months = Annotated[int, Meta(ge=0, le=1_200)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Items = Annotated[int, Meta(ge=1, le=100_000)]
Rate = Annotated[int, Meta(ge=0, le=1_000_000)]
AtLeastOneRate = Annotated[int, Meta(ge=1, le=1_000_000)]
Connections = Annotated[int, Meta(ge=1, le=1_000_000)]
Window = Annotated[int, Meta(ge=1, le=10_000)]
Sessions = Annotated[int, Meta(ge=1, le=1_000)]
Codes = Annotated[int, Meta(ge=1, le=100_000)]
Copies = Annotated[int, Meta(ge=0, le=10_000)]
Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_PREFIX: Final = re.compile(r"[0-9]{1,11}")


def check_address(text: str, key: str) -> None:
    """Raise ValueError, naming ``key``, unless it is an IP address. So do the others below."""
    try:
        ip_address(text)
    except ValueError:
        raise ValueError(f"{key}: give an IP address") from None


def check_host(text: str, key: str) -> None:
    """An IP address, or a name that resolves to one."""
    try:
        ip_address(text)
    except ValueError:
        if _HOST.fullmatch(text) is None:
            raise ValueError(f"{key}: give an IP address or a host's name") from None


def check_networks(texts: Iterable[str], key: str) -> None:
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{key}: give addresses or CIDR blocks") from None


def check_name(text: str, key: str) -> None:
    if not text.strip() or not text.isprintable() or len(text) > NAME_LENGTH:
        raise ValueError(
            f"{key}: give 1 to {NAME_LENGTH} characters, not only spaces, without control characters"
        )


def check_url(text: str, key: str) -> None:
    try:
        found = urlsplit(text)
        good = found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        good = False
    if not good or any(mark.isspace() or not mark.isprintable() for mark in text):
        raise ValueError(f"{key}: give an address as https://host or https://host:port")


def check_prefixes(texts: Iterable[str], key: str) -> None:
    if not all(_PREFIX.fullmatch(text) for text in texts):
        raise ValueError(f"{key}: give the first digits of numbers, 1 to 11 digits each")


def check_day(text: str, key: str) -> None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{key}: give a date, YYYY-MM-DD") from None
    if not 2000 <= found.year <= 2100:
        raise ValueError(f"{key}: give a date, YYYY-MM-DD, of the years 2000 to 2100")
