"""Rolling back: 700 bindings that took the place of old ones are released, the old ones go on.

An old binding goes on as it was taken over. So it ends if its 700 binding has ended, or has other parties by
now: nobody is to be reached whose order is over, or who left it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from qibai.core.binding import Status
from qibai.core.errors import StoreUnavailable
from qibai.core.existing import OldParties
from qibai.store.bindings import Binding
from qibai.store.bindings.query import get_many
from qibai.store.bindings.release import end_many
from qibai.store.bindings.session import Epoch, database_time, fetch_epoch, persist
from qibai.store.connection import Connection
from qibai.store.existing.keys import pair_key
from qibai.store.existing.model import BATCH
from qibai.store.existing.run import Step
from qibai.store.keys import Keyring, binding_aad
from qibai.store.statements import load

_SQL: Final = load("migration")


@dataclass(slots=True)
class RolledBack:
    """``gone_on``: serve under their old number again; ``ended``: had ended, or changed hands, meanwhile."""

    gone_on: int = 0
    ended: int = 0


class RollBack:
    """One tenant's. ``conn`` is in autocommit mode and holds the turn."""

    def __init__(self, conn: Connection, keyring: Keyring, tenant_id: int, quarantine: timedelta) -> None:
        self._conn, self._keyring = conn, keyring
        self._tenant_id, self._quarantine = tenant_id, quarantine
        self._after = -1
        self.result = RolledBack()

    async def run(self, step: Step) -> RolledBack:
        """All of them, batch by batch; stopped anywhere, it goes on when it is run again.

        Raise StoreUnavailable, SealBroken.
        """
        while True:
            last, gone_on, ended = await persist(self._batch, self._after)
            if last is None:
                return self.result
            self._after = last
            self.result.gone_on += gone_on
            self.result.ended += ended
            step("rolled back", self.result.gone_on + self.result.ended, None)

    async def _batch(self, after: int) -> tuple[int | None, int, int]:
        conn = self._conn
        async with conn.transaction():
            await conn.execute(_SQL["pin_plans"])
            epoch, _ = await fetch_epoch(conn, self._keyring)
            params = {"tenant": self._tenant_id, "after": after, "limit": BATCH}
            rows = await (await conn.execute(_SQL["moved"], params)).fetchall()
            if not rows:
                return None, 0, 0
            ids = [(row[3], row[4]) for row in rows]
            await conn.execute(
                _SQL["lock_new"], {"codes": [id[0] for id in ids], "ids": [id[1] for id in ids]}
            )
            now = await database_time(conn)  # the 700 bindings are held
            found = await get_many(conn, self._keyring, self._tenant_id, ids)
            live = {id: one for id, one in found.items() if one.status(now) is Status.ACTIVE}
            parties = [self._parties(row) for row in rows]
            ended = [
                _ended(old, found.get(id), now, live=id in live) for old, id in zip(parties, ids, strict=True)
            ]
            if live:
                quarantine = self._quarantine
                done = await end_many(
                    conn, self._keyring, self._tenant_id, live, now=now, quarantine=quarantine
                )
                if done is None:  # cannot be: they are locked, and the hash keys stay until the commit
                    raise StoreUnavailable("these bindings keep changing; try again")
            await self._write(rows, parties, ended, epoch)
        gone_on = sum(end is None for end in ended)
        return rows[-1][1], gone_on, len(rows) - gone_on

    def _parties(self, row: Sequence[Any]) -> OldParties:
        return OldParties.unpack(self._keyring.open(row[2], binding_aad(row[0], row[1])))

    async def _write(
        self,
        rows: Sequence[Any],
        parties: Sequence[OldParties],
        ended: Sequence[datetime | None],
        epoch: Epoch,
    ) -> None:
        await self._conn.execute(
            _SQL["roll_back"],
            {"homes": [row[0] for row in rows], "ids": [row[1] for row in rows], "ended": list(ended)},
        )
        pairs = [(pair, end) for old, end in zip(parties, ended, strict=True) for pair in old.pairs]
        keyring = self._keyring
        await self._conn.execute(
            _SQL["roll_back_routes"],
            {
                "codes": [pair.dialled.code.value for pair, _ in pairs],
                "keys": [pair_key(keyring, epoch.write, pair.dialled, pair.caller) for pair, _ in pairs],
                "ended": [end for _, end in pairs],
                "quarantine": self._quarantine,
            },
        )


def _ended(old: OldParties, new: Binding | None, now: datetime, *, live: bool) -> datetime | None:
    """When the old binding is to have ended; None: it goes on."""
    if new is None:
        return now
    if not live:
        return min(new.expires_at, new.released_at or new.expires_at)
    return None if (new.a, new.b) == (old.a, old.b) else now
