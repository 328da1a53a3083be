"""Locked numbers: not bound any more, and, if wished, not called."""

from dataclasses import dataclass
from datetime import datetime

from qibai.core.errors import NotHere
from qibai.core.masking import mask_text
from qibai.core.numbering import Code, Number700
from qibai.store.connection import Connection
from qibai.store.resources.session import changing, rows, run


@dataclass(frozen=True, slots=True)
class NumberLock:
    """A lock on one number."""

    code: int
    serial: int
    stops_calls: bool
    why: str
    locked_at: datetime

    @property
    def number(self) -> Number700:
        return Number700(Code(self.code), self.serial)


async def lock(conn: Connection, number: Number700, *, why: str, at: datetime, stops_calls: bool) -> None:
    """Lock a number, or change its lock. Live bindings go on unless ``stops_calls``."""
    async with changing(conn):
        key = {"code": number.code.value, "serial": number.serial}
        await run(conn, "lock_number", **key, stops_calls=stops_calls, why=mask_text(why), now=at)


async def unlock(conn: Connection, number: Number700) -> None:
    """Raise NotHere when it is not locked."""
    async with changing(conn):
        if not await run(conn, "unlock_number", code=number.code.value, serial=number.serial):
            raise NotHere("this number is not locked", field="number")


async def list_locks(conn: Connection, code: Code | None = None) -> list[NumberLock]:
    """All locks in order, or those of one code."""
    return await rows(conn, NumberLock, "list_locks", code=None if code is None else code.value)
