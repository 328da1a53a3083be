"""Shared by all that touches bindings: which hash keys rows are under, and the driver's errors as our own."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from psycopg import errors

from qibai.core.errors import StoreUnavailable
from qibai.core.numbering import Msisdn
from qibai.store.connection import Connection
from qibai.store.failures import UNAVAILABLE, own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("bindings")
ATTEMPTS: Final = 10  # after a deadlock or a race that a unique key decided

#: The server undid everything and the same again may well succeed.
_AGAIN: Final = (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)

P = ParamSpec("P")
T = TypeVar("T")


class Epoch(NamedTuple):
    """Which hash keys go into caller_key and next_key of route rows, see the table hash_rotation."""

    write: int
    extra: int | None

    def keys(self, keyring: Keyring, party: Msisdn) -> tuple[bytes, bytes | None]:
        """Both keys of a party. Raise KeyUnknown."""
        first = keyring.blind_by(self.write, party)
        if self.extra is None:
            return first, None
        return first, first if self.extra == self.write else keyring.blind_by(self.extra, party)


_EPOCHS: Final[WeakKeyDictionary[Keyring, Epoch]] = WeakKeyDictionary()


def likely_epoch(keyring: Keyring) -> Epoch:
    """The epoch that was last seen, or what the key file suggests; the database has the last word."""
    return _EPOCHS.get(keyring) or Epoch(keyring.hash_id, keyring.next_hash_id)


def learn_epoch(keyring: Keyring, epoch: Epoch) -> Epoch:
    """Remember what the database said."""
    _EPOCHS[keyring] = epoch
    return epoch


async def fetch_epoch(conn: Connection, keyring: Keyring) -> tuple[Epoch, bool]:
    """The epoch, fixed until the running transaction ends, and whether next_key decides conflicts."""
    cur = await conn.execute(_SQL["epoch"])
    row = await cur.fetchone()
    assert row is not None  # noqa: S101  # a function that returns one row
    return learn_epoch(keyring, Epoch(row[0], row[1])), row[2]


async def database_time(conn: Connection) -> datetime:
    """Return what the database's clock says. Raise StoreUnavailable."""
    with own_errors():
        row = await (await conn.execute(_SQL["clock"], binary=True)).fetchone()
    assert row is not None  # noqa: S101  # a statement that returns one row
    at: datetime = row[0]
    return at.astimezone(UTC)


async def persist(attempt: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``attempt``, and again when the database asks for that. Raise StoreUnavailable if it cannot."""
    for left in range(ATTEMPTS - 1, -1, -1):
        try:
            return await attempt(*args, **kwargs)
        except _AGAIN as exc:
            if not left:
                raise StoreUnavailable from exc
            await asyncio.sleep(random.random() / 50)  # noqa: S311  # lets the other one finish
        except UNAVAILABLE as exc:
            raise StoreUnavailable from exc
    raise AssertionError
