"""The check of a whole file before anything of it is written: by PostgreSQL, in tables of the session.

So memory stays flat however long the file is. Compared are digests under a key of this run alone.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from qibai.core.errors import QibaiError
from qibai.core.numbering import Msisdn
from qibai.core.oldfile import BadOldLine, OldLine
from qibai.core.oldfile.line import bad
from qibai.store.connection import Connection
from qibai.store.existing.draft import axn_off, end_of
from qibai.store.existing.model import Terms
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("migration_check")
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER: Final = struct.pack(">h", -1)
_PAIR: Final = struct.Struct(">hiqiqi16si16s").pack
_PARTY: Final = struct.Struct(">hiqiqi16s").pack
_NUMBER: Final = struct.Struct(">hiqiqi16si16s").pack
_BYTES: Final = 16
_REMEMBERED: Final = 50_000  #: old numbers whose digests are at hand: exports come sorted, or hold few


@dataclass(slots=True)
class Checked:
    """What a file holds, and what stands in its way."""

    bindings: int = 0
    good: int = 0
    numbers: int = 0  #: different old numbers
    reused: int = 0  #: of them serve in several bindings
    modes: dict[str, int] = field(default_factory=dict)
    provinces: dict[str, int] = field(default_factory=dict)  #: '': none was asked for
    bad: dict[str, int] = field(default_factory=dict)  #: by code
    without_b: int = 0  #: AXN without B: they serve on, and get no 700 number


class Checker:
    """Checks one file; pairs, parties and old numbers have a temporary table each on ``conn``."""

    def __init__(self, conn: Connection, keyring: Keyring, terms: Terms, now: datetime) -> None:
        self._conn, self._keyring, self._terms, self._now = conn, keyring, terms, now
        self._digest = hashlib.blake2b(key=os.urandom(32), digest_size=_BYTES)
        self._numbers: dict[str, tuple[bytes, bytes]] = {}
        self.found = Checked()

    async def begin(self) -> None:
        """Make the tables; earlier ones are dropped first. Raise StoreUnavailable."""
        with own_errors():
            for name in ("drop", "pairs", "parties", "numbers"):
                await self._conn.execute(_SQL[name])

    async def add(self, lines: Sequence[OldLine | BadOldLine]) -> list[BadOldLine]:
        """Take in more lines of the file; those that are bad by themselves come back."""
        rejects: list[BadOldLine] = []
        pairs, parties, numbers = [_HEADER], [_HEADER], [_HEADER]
        for line in lines:
            self.found.bindings += 1
            one = self._alone(line)
            if isinstance(one, BadOldLine):
                rejects.append(one)
                continue
            self._count(one)
            whole = self._of(one.parties.packed)
            for pair in one.parties.pairs:
                who = "" if pair.caller is None else pair.caller.e164
                key = self._of(f"{pair.dialled.e164} {who}")
                pairs.append(_PAIR(4, 8, one.place, 8, one.number, 16, key, 16, whole))
            for party in (one.parties.a, one.parties.b):
                if party is not None:
                    parties.append(_PARTY(3, 8, one.place, 8, one.number, 16, self._of(party.e164)))
            for number in (one.parties.x, one.parties.y):
                if number is not None:
                    own, blind = self._number(number.e164)
                    numbers.append(_NUMBER(4, 8, one.place, 8, one.number, 16, own, 16, blind))
        with own_errors():
            await self._copy("old_pair", pairs)
            await self._copy("old_party", parties)
            await self._copy("old_number", numbers)
        self._tally(rejects)
        return rejects

    async def conflicts(self) -> list[BadOldLine]:
        """After the last line: those that others of the file, or what is there, stand against."""
        with own_errors():
            await self._conn.execute(_SQL["analyze"])
            cur = await self._conn.execute(_SQL["conflicts"])
            rejects = [BadOldLine(*row) for row in await cur.fetchall()]
            row = await (await self._conn.execute(_SQL["count_numbers"])).fetchone()
        if row is not None:
            self.found.numbers, self.found.reused = row
        self._tally(rejects)
        self.found.good -= len(rejects)
        return rejects

    async def end(self) -> None:
        """Drop the tables."""
        with own_errors():
            await self._conn.execute(_SQL["drop"])

    def _alone(self, line: OldLine | BadOldLine) -> OldLine | BadOldLine:
        if isinstance(line, BadOldLine):
            return line
        try:
            end_of(line, self._terms, self._now)
            if line.parties.mode.value == "AXN" and not self._terms.rules.existing_axn:
                raise axn_off()
        except QibaiError as exc:
            return bad(line.place, line.number, exc)
        return line

    def _count(self, line: OldLine) -> None:
        found = self.found
        found.good += 1
        mode, province = line.parties.mode.value, line.province or self._terms.province or ""
        found.modes[mode] = found.modes.get(mode, 0) + 1
        if line.parties.b is None:
            found.without_b += 1
        else:
            found.provinces[province] = found.provinces.get(province, 0) + 1

    def _tally(self, rejects: Iterable[BadOldLine]) -> None:
        for one in rejects:
            self.found.bad[one.code] = self.found.bad.get(one.code, 0) + 1

    def _of(self, text: str) -> bytes:
        keyed = self._digest.copy()
        keyed.update(text.encode())
        return keyed.digest()

    def _number(self, e164: str) -> tuple[bytes, bytes]:
        """Our own digest, and the blind index that a real number has in the store."""
        known = self._numbers.get(e164)
        if known is None:
            if len(self._numbers) >= _REMEMBERED:
                self._numbers.clear()
            known = self._numbers[e164] = self._of(e164), self._keyring.blind(Msisdn(e164))
        return known

    async def _copy(self, table: str, rows: list[bytes]) -> None:
        if len(rows) == 1:
            return
        rows.append(_TRAILER)
        async with self._conn.cursor() as cur, cur.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
            await copy.write(b"".join(rows))
