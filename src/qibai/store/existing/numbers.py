"""Which real numbers are old middle numbers that somebody is bound on: they may not be a party."""

from collections.abc import Sequence
from typing import Final

from qibai.core.existing import ExistingNumber
from qibai.core.numbering import Msisdn
from qibai.store.bindings.arrays import Blobs, Int4s
from qibai.store.connection import Connection
from qibai.store.existing.keys import after, number_key
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("migration")


async def middle_numbers(
    conn: Connection, keyring: Keyring, key_id: int, parties: Sequence[Msisdn]
) -> set[Msisdn]:
    """Those of the parties; ``key_id`` is the hash key that rows are written with."""
    if not parties:
        return set()
    asked = [ExistingNumber(party.e164) for party in parties]
    keys = [number_key(keyring, key_id, number) for number in asked]
    params = {
        "codes": Int4s.of([number.code.value for number in asked]),
        "first": Blobs.of_blobs(keys),
        "behind": Blobs.of_blobs([after(key) for key in keys]),
    }
    cur = await conn.execute(_SQL["old_numbers"], params, prepare=True, binary=True)
    return {parties[row[0]] for row in await cur.fetchall()}
