"""The tables that are looked up by blind indexes, and how an index is made again from what a row seals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from qibai.core.existing import OldParties
from qibai.core.numbering import Msisdn
from qibai.store.crypto import binding_aad
from qibai.store.existing.keys import pair_key
from qibai.store.keys import Keyring


@dataclass(frozen=True, slots=True)
class HashedTable:
    """A table with ``caller_key`` and ``next_key`` behind the ``key`` columns, partitioned in sixteen.

    ``blind`` makes the index under a key id from the values of ``key`` and ``needed``; it raises SealBroken.
    """

    name: str
    key: tuple[str, ...]
    kinds: tuple[LiteralString, ...]
    first: tuple[int, ...]  #: sorts before every key
    needed: tuple[str, ...]
    blind: Callable[[Keyring, int, Sequence[Any]], bytes]


def _route(keyring: Keyring, key_id: int, row: Sequence[Any]) -> bytes:
    code, _, binding_id, caller = row
    return keyring.blind_by(key_id, Msisdn(keyring.open(caller, binding_aad(code, binding_id))))


def _existing(keyring: Keyring, key_id: int, row: Sequence[Any]) -> bytes:
    _, binding_id, home, numbers, place = row
    pair = OldParties.unpack(keyring.open(numbers, binding_aad(home, binding_id))).pairs[place]
    return pair_key(keyring, key_id, pair.dialled, pair.caller)


TABLES: Final = (
    HashedTable(
        "route", ("code", "serial"), ("integer", "smallint"), (-(2**31), -(2**15)), ("caller",), _route
    ),
    HashedTable(
        "existing_route",
        ("code",),
        ("integer",),
        (-(2**31),),
        ("binding_code", "numbers", "pair"),
        _existing,
    ),
)
_BY_NAME: Final = {table.name: table for table in TABLES}


def table_of(part: str) -> HashedTable:
    """The table that a partition belongs to."""
    return _BY_NAME[part.partition("_p")[0]]
