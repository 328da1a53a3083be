"""How many whole real numbers were read with each key: who takes more than their orders need is seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.statements import load

_SQL: Final = load("key_reads")


@dataclass(frozen=True, slots=True)
class KeyRead:
    """Real numbers that were shown whole to a key's holder, each as often as it was shown."""

    numbers: int
    last_at: datetime


async def add(conn: Connection, counts: Mapping[str, int]) -> None:
    """Add to what the keys of these ids have read. Raise StoreUnavailable, SchemaError."""
    with own_errors():
        await conn.execute(_SQL["add"], {"keys": list(counts), "numbers": list(counts.values())})


async def of_tenant(conn: Connection, tenant_id: int) -> dict[str, KeyRead]:
    """By key; a key with which nothing was read is not there. Raise StoreUnavailable, SchemaError."""
    with own_errors():
        rows = await (await conn.execute(_SQL["of_tenant"], {"tenant_id": tenant_id})).fetchall()
    return {key_id: KeyRead(numbers, last_at) for key_id, numbers, last_at in rows}


async def by_tenant(conn: Connection) -> dict[str, int]:
    """By tenant's name, all keys together. Raise StoreUnavailable, SchemaError."""
    with own_errors():
        return dict(await (await conn.execute(_SQL["by_tenant"])).fetchall())
