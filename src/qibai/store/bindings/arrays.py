"""PostgreSQL arrays in binary, packed in one go: a few C calls instead of a dumper's call for each value."""

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_SIZE: Final = struct.Struct(">i").pack
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime.fromisoformat(
    "2000-01-01T00:00:00+00:00"
)  # PostgreSQL counts microseconds from here
_MICROSECOND: Final = timedelta(microseconds=1)


class PgArray:
    """An array parameter, ready to be sent."""

    __slots__ = ("data",)
    oid: ClassVar[int]
    element: ClassVar[int]

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def _header(cls, count: int) -> bytes:
        if not count:
            return struct.pack(">3i", 0, 0, cls.element)
        return struct.pack(">5i", 1, 0, cls.element, count, 1)

    @classmethod
    def of_blobs(cls, blobs: Sequence[bytes | None]) -> "PgArray":
        """Pack elements that are in PostgreSQL's binary form already; None is NULL."""
        count = len(blobs)
        if blobs.count(None) == count:
            return cls(cls._header(count) + _NULL * count)
        parts = [cls._header(count)]
        for blob in blobs:
            if blob is None:
                parts.append(_NULL)
            else:
                parts += (_SIZE(len(blob)), blob)
        return cls(b"".join(parts))


class _Fixed(PgArray):
    """An array of numbers of one size."""

    __slots__ = ()
    letter: ClassVar[str]
    size: ClassVar[int]

    @classmethod
    def of(cls, values: Sequence[int]) -> "PgArray":
        count = len(values)
        flat = [cls.size] * (2 * count)
        flat[1::2] = values
        return cls(cls._header(count) + struct.pack(">" + ("i" + cls.letter) * count, *flat))


class Int2s(_Fixed):
    """smallint[]"""

    oid, element, letter, size = 1005, 21, "h", 2

    @classmethod
    def of_optional(cls, values: Sequence[int | None]) -> PgArray:
        """Pack integers, some of them NULL."""
        return cls.of_blobs([None if value is None else value.to_bytes(2, "big") for value in values])


class Int4s(_Fixed):
    """integer[]"""

    oid, element, letter, size = 1007, 23, "i", 4


class Int8s(_Fixed):
    """bigint[]"""

    oid, element, letter, size = 1016, 20, "q", 8


class Instants(_Fixed):
    """timestamptz[]; takes datetimes through ``of_times``."""

    oid, element, letter, size = 1185, 1184, "q", 8

    @staticmethod
    def micros(time: datetime) -> int:
        """As PostgreSQL counts."""
        return (time - _EPOCH) // _MICROSECOND

    @classmethod
    def of_times(cls, times: Sequence[datetime]) -> PgArray:
        return cls.of([cls.micros(time) for time in times])


class Bools(PgArray):
    """boolean[]"""

    oid, element = 1000, 16


class Blobs(PgArray):
    """bytea[]"""

    oid, element = 1001, 17


class Texts(PgArray):
    """text[]"""

    oid, element = 1009, 25

    @classmethod
    def of_strings(cls, strings: Sequence[str | None]) -> PgArray:
        return cls.of_blobs([None if text is None else text.encode() for text in strings])


def literal(blobs: Sequence[bytes]) -> str:
    """Return a bytea[] as text: arrays of arrays of several lengths do not exist in binary."""
    return "{" + ",".join(f'"\\\\x{blob.hex()}"' for blob in blobs) + "}"


def _register() -> None:
    for kind in (Int2s, Int4s, Int8s, Instants, Bools, Blobs, Texts):

        class _ArrayDumper(Dumper):
            format = Format.BINARY
            oid = kind.oid

            def dump(self, obj: PgArray) -> bytes:
                return obj.data

        psycopg.adapters.register_dumper(kind, _ArrayDumper)


_register()
