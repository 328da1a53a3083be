"""What goes into the store of bindings and what comes out of it."""

from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import msgspec

from qibai.core.binding import Messages, Mode, Parties, Scene, Status, status_at
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pairs import Pair, occupied
from qibai.store.keys import Keyring, binding_aad


class Idempotency(NamedTuple):
    """What makes a repeated request harmless: digests of the client's key and of the request."""

    key: bytes
    request: bytes


class BindItem(msgspec.Struct, frozen=True, kw_only=True):
    """A binding to be made. ``expected`` is the X that the client wants; all else was checked already."""

    parties: Parties
    scene: Scene
    order_id: str
    expires_at: datetime
    max_call_s: int
    messages: Messages = Messages.BOTH
    province: str | None = None
    industrial_id: str | None = None
    expected: Number700 | None = None
    sticky: bool = False  #: the same parties get the same numbers again while those are free
    idempotency: Idempotency | None = None


class Sealed(NamedTuple):
    """The real numbers as they are stored, and the keyring that opens them."""

    a: bytes | None
    members: tuple[bytes, ...]
    b: bytes
    keyring: Keyring


class Binding(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A binding as stored. Real numbers are opened when they are first asked for."""

    code: int
    id: int
    tenant_id: int
    mode: Mode
    scene: Scene
    order_id: str
    industrial_id: str | None
    province: str | None
    x: Number700
    y: Number700 | None
    max_call_s: int
    messages: Messages = Messages.BOTH
    created_at: datetime
    expires_at: datetime
    released_at: datetime | None
    source: Parties | Sealed  #: use ``parties``

    @property
    def parties(self) -> Parties:
        """The real numbers. Raise SealBroken when the key file is not this database's."""
        return self.source if isinstance(self.source, Parties) else self._opened

    @property
    def sealed(self) -> Sealed:
        """The real numbers as the row that was read has them. Raise ValueError for one that was not read."""
        if isinstance(self.source, Parties):
            raise ValueError("this binding does not come from a row")
        return self.source

    @cached_property
    def _opened(self) -> Parties:
        source = self.source
        if isinstance(source, Parties):
            return source
        aad = binding_aad(self.code, self.id)
        read = source.keyring.open
        a = None if source.a is None else Msisdn(read(source.a, aad))
        members = tuple(Msisdn(read(blob, aad)) for blob in source.members)
        return Parties(self.mode, a, members, Msisdn(read(source.b, aad)))

    @property
    def a(self) -> Msisdn | None:
        return self.parties.a

    @property
    def members(self) -> tuple[Msisdn, ...]:
        return self.parties.members

    @property
    def b(self) -> Msisdn:
        return self.parties.b

    @property
    def numbers(self) -> tuple[Number700, ...]:
        """X, and Y in the modes that have it, by ``core.pairs.Middle``."""
        return (self.x,) if self.y is None else (self.x, self.y)

    @property
    def far(self) -> Number700:
        """The number that B dials: Y, or X in the modes that have no Y."""
        return self.numbers[-1]

    def pairs(self, parties: Parties | None = None) -> dict[tuple[Number700, Msisdn], Pair]:
        """The pairs that the binding occupies, by number and caller; ``parties``: if it had these."""
        parties = self.parties if parties is None else parties
        everyone, numbers = parties.everyone, self.numbers
        found = occupied(self.mode, len(everyone))
        return {(numbers[pair.dialled], everyone[pair.caller]): pair for pair in found}

    def status(self, now: datetime) -> Status:
        """Return the status at ``now``; what was released is released, whatever that clock says."""
        if self.released_at is not None:
            return Status.RELEASED
        return status_at(now, expires_at=self.expires_at, released_at=self.released_at)

    def __repr__(self) -> str:
        return f"<Binding {self.code:08d}-{self.id:x} {self.mode}>"


class Bound(NamedTuple):
    """The answer to one BindItem that succeeded; ``replayed``: an earlier request had made the binding."""

    binding: Binding
    replayed: bool = False


class Released(NamedTuple):
    """A binding that is over: released, or expired before anybody released it."""

    code: int
    id: int
    status: Status
    ended_at: datetime


class Page(NamedTuple):
    """A page of bindings, newest first; ``cursor`` leads to the next page, None at the end."""

    bindings: list[Binding]
    cursor: str | None


class NumberPair(NamedTuple):
    """One (number, caller) pair: live until ``ends_at`` (1970: an act ended it), held until ``free_at``."""

    dialled: Number700
    caller: Msisdn
    callee: Msisdn
    shown: Number700
    to_group: bool
    ends_at: datetime
    free_at: datetime
    code: int
    binding_id: int
