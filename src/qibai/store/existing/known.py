"""What the store holds already of a batch of old bindings."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from qibai.store.bindings.arrays import Blobs, Int4s
from qibai.store.bindings.session import Epoch
from qibai.store.connection import Connection
from qibai.store.existing.draft import OldDraft
from qibai.store.existing.numbers import middle_numbers
from qibai.store.keys import Keyring, binding_aad
from qibai.store.statements import load

_SQL: Final = load("migration")


class Moment(NamedTuple):
    """When a transaction is, and how rows are found in it. While ``by_next``, next_key decides conflicts;
    then both keys of a pair are the same."""

    now: datetime
    epoch: Epoch
    by_next: bool


class Known(NamedTuple):
    """A pair that is there, of the old binding (home, id): live until ``ends_at``, free from ``free_at``."""

    home: int
    id: int
    tenant_id: int
    ends_at: datetime
    free_at: datetime
    numbers: bytes
    pair: int
    new_id: int | None

    @property
    def moved(self) -> bool:
        """Its binding has a 700 number."""
        return self.new_id is not None

    @property
    def aad(self) -> bytes:
        return binding_aad(self.home, self.id)


async def known_pairs(
    conn: Connection, drafts: Sequence[OldDraft], moment: Moment
) -> dict[OldDraft, list[Known]]:
    """The pairs of each that are there, in the order of the draft's own."""
    owners = [one for one in drafts for _ in one.pairs]
    params = {
        "codes": Int4s.of([pair.dialled.code.value for one in drafts for pair in one.pairs]),
        "keys": Blobs.of_blobs([key for one in drafts for key in one.keys]),
        "by_next": moment.by_next,
        "now": moment.now,
    }
    cur = await conn.execute(_SQL["known"], params, prepare=True, binary=True)
    found: dict[OldDraft, list[Known]] = {}
    for place, *rest in sorted(await cur.fetchall(), key=lambda row: row[0]):
        found.setdefault(owners[place], []).append(Known(*rest))
    return found


async def with_middle_party(
    conn: Connection, keyring: Keyring, drafts: Sequence[OldDraft], moment: Moment
) -> set[OldDraft]:
    """Those of which a party is an old middle number that somebody is bound on."""
    parties = {one: (one.line.parties.a, one.line.parties.b) for one in drafts}
    asked = [party for both in parties.values() for party in both if party is not None]
    middle = await middle_numbers(conn, keyring, moment.epoch.write, asked)
    return {one for one, both in parties.items() if not middle.isdisjoint(both)} if middle else set()


async def forget_free(conn: Connection, drafts: Sequence[OldDraft], now: datetime) -> None:
    """Remove rows on the pairs of these whose quarantine is over."""
    params = {
        "codes": Int4s.of([pair.dialled.code.value for one in drafts for pair in one.pairs]),
        "keys": Blobs.of_blobs([key for one in drafts for key in one.keys]),
        "now": now,
    }
    await conn.execute(_SQL["forget_free"], params, binary=True)
