"""Which 700 binding an old one has become: what an enterprise needs to change its orders, at any time."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from qibai.core.existing import OldParties
from qibai.core.ids import format_id
from qibai.core.numbering import Code
from qibai.core.oldfile import BadOldLine
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring, binding_aad
from qibai.store.statements import load

_SQL: Final = load("migration")
_PAGE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Mapped:
    """An old binding and its 700 binding; ``new_id``, ``x`` and ``y`` None: it has none."""

    old_id: str
    mode: str
    old_x: str
    old_y: str | None
    vendor: str
    vendor_id: str | None
    order_id: str
    new_id: str | None
    x: str | None
    y: str | None
    expires_at: datetime
    released_at: datetime | None

    def __repr__(self) -> str:
        return f"<Mapped {self.old_id}>"


async def results(conn: Connection, keyring: Keyring, tenant_id: int) -> AsyncIterator[Mapped]:
    """In the order in which they were taken over; ``conn`` is in a transaction. Raise StoreUnavailable."""
    with own_errors():
        async with conn.cursor("results") as cur:
            cur.itersize = _PAGE
            await cur.execute(_SQL["results"], {"tenant": tenant_id})
            async for row in cur:
                yield _mapped(row, keyring)


async def rejects(conn: Connection, migration_id: int) -> AsyncIterator[BadOldLine]:
    """What of a file was not taken, or got no 700 number, in its order; ``conn`` is in a transaction."""
    with own_errors():
        async with conn.cursor("rejects") as cur:
            cur.itersize = _PAGE
            await cur.execute(_SQL["rejects"], {"id": migration_id})
            async for row in cur:
                yield BadOldLine(*row)


def _mapped(row: tuple[Any, ...], keyring: Keyring) -> Mapped:
    (home, id, numbers, vendor, vendor_id, order, released, code, new_id, new_x, new_y, end, new_end) = row
    old = OldParties.unpack(keyring.open(numbers, binding_aad(home, id)))
    gone = new_x is None  # no 700 binding, or one that is kept no longer
    return Mapped(
        old_id=format_id("b", home, id),
        mode=old.mode.value,
        old_x=old.x.e164,
        old_y=None if old.y is None else old.y.e164,
        vendor=vendor,
        vendor_id=vendor_id,
        order_id=order,
        new_id=None if new_id is None else format_id("b", code, new_id),
        x=None if gone else str(Code(code).number(new_x)),
        y=None if gone or new_y is None else str(Code(code).number(new_y)),
        expires_at=end.astimezone(UTC),
        released_at=(new_end or released) and (new_end or released).astimezone(UTC),
    )
