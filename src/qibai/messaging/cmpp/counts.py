"""Query and Cancel: a day's counts of a link as CMPP_QUERY asks for them; no message is ever cancelled."""

import struct
from collections import Counter
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime
from typing import Final

from qibai.core.pilot.calendar import BEIJING
from qibai.messaging.cmpp.status import Result
from qibai.messaging.stream.session import BadPdu

_QUERY: Final = struct.Struct(">8sB10s8s")
_ANSWER: Final = struct.Struct(">8sB10s8I")
_DAYS: Final = 2  #: kept: today and the day before


@dataclass(frozen=True, slots=True)
class Query:
    time: bytes  #: YYYYMMDD
    query_type: int  #: 0: of all; 1: of one Service_Id
    query_code: bytes  #: that Service_Id, ten octets


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a day, since we started; MT: what the peer submitted, MO: what it was sent."""

    mt_messages: int = 0
    mt_users: int = 0
    mt_sent: int = 0
    mt_waiting: int = 0
    mt_failed: int = 0
    mo_sent: int = 0
    mo_waiting: int = 0
    mo_failed: int = 0


def read_query(body: bytes) -> Query:
    """Raise BadPdu."""
    if len(body) != _QUERY.size:
        raise BadPdu(Result.LENGTH)
    time, kind, code, _reserve = _QUERY.unpack(body)
    return Query(time, kind, code)


def write_query(query: Query) -> bytes:
    return _QUERY.pack(query.time, query.query_type, query.query_code, b"")


def read_counts(body: bytes) -> tuple[Query, Counts]:
    """Raise BadPdu."""
    if len(body) != _ANSWER.size:
        raise BadPdu(Result.LENGTH)
    time, kind, code, *counts = _ANSWER.unpack(body)
    return Query(time, kind, code), Counts(*counts)


def write_counts(query: Query, counts: Counts) -> bytes:
    return _ANSWER.pack(query.time, query.query_type, query.query_code, *astuple(counts))


class Tally:
    """Counts by day, the newest days only."""

    def __init__(self) -> None:
        self._days: dict[date, Counter[str]] = {}

    def add(self, kind: str) -> None:
        """One more ``mt_sent``, ``mt_failed``, ``mo_sent`` or ``mo_failed``."""
        today = datetime.now(UTC).astimezone(BEIJING).date()
        if today not in self._days:
            self._days[today] = Counter()
            for day in sorted(self._days)[:-_DAYS]:
                del self._days[day]
        self._days[today][kind] += 1

    def of(self, day: bytes, waiting: int) -> Counts:
        """Of YYYYMMDD; zeros for a day that is not kept. ``waiting``: MO messages just now."""
        for known, counted in self._days.items():
            if f"{known:%Y%m%d}".encode() == day:
                total = counted["mt_sent"] + counted["mt_failed"]
                return Counts(
                    mt_messages=total,
                    mt_users=total,
                    mt_sent=counted["mt_sent"],
                    mt_failed=counted["mt_failed"],
                    mo_sent=counted["mo_sent"],
                    mo_waiting=waiting,
                    mo_failed=counted["mo_failed"],
                )
        return Counts()
