"""Changing a binding: its lifetime, a party, the members of its group. Each is one transaction.

Whoever leaves a binding leaves the pair in quarantine: their late calls find an ended order, and nobody.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg import errors

from qibai.core.binding import MAX_GROUP, Parties, Status
from qibai.core.errors import (
    BadRequest,
    BindingEnded,
    BindingNotFound,
    GroupSizeWrong,
    LifetimeWrong,
    MiddleNumberAsParty,
    ModeMismatch,
    NumberTaken,
    QibaiError,
    StoreUnavailable,
)
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pairs import Pair
from qibai.core.typed import without_parties
from qibai.store.bindings.arrays import Blobs, Int2s
from qibai.store.bindings.codeset import Entitlement
from qibai.store.bindings.model import Binding
from qibai.store.bindings.query import from_row
from qibai.store.bindings.session import Epoch, fetch_epoch, persist
from qibai.store.connection import Connection
from qibai.store.existing.numbers import middle_numbers
from qibai.store.keys import Keyring, binding_aad
from qibai.store.routes import flags_of
from qibai.store.statements import load

_SQL: Final = load("bindings")
_ARBITER: Final = {
    False: b"(code, serial, caller_key)",
    True: b"(code, serial, next_key) WHERE next_key IS NOT NULL",
}


class BindingEditor:
    """Changes to bindings of one tenant, each at the instant when it holds the binding and its pairs.

    Every method returns the binding as it is afterwards, committed, and raises BindingNotFound, BindingEnded
    or StoreUnavailable; ``conn`` is in autocommit mode. The instant is by the database's clock; ``now``
    stands in for that clock in tests.
    """

    def __init__(
        self,
        conn: Connection,
        keyring: Keyring,
        tenant_id: int,
        *,
        now: datetime | None = None,
        quarantine: timedelta,
        entitlement: Entitlement | None = None,
    ) -> None:
        """``entitlement``: asked before a binding lasts longer or gets a party: PolicyRefused."""
        self._conn, self._keyring, self._tenant_id = conn, keyring, tenant_id
        self._now, self._quarantine = now, quarantine
        self._entitlement = entitlement
        self._stale: int | None = None

    async def extend(self, code: int, id: int, end: datetime | timedelta) -> Binding:
        """Let the binding end at ``end``, or so long after the change; later or earlier than it would have.

        Raise LifetimeWrong.
        """
        return await persist(self._extend, code, id, end)

    async def change_party(
        self,
        code: int,
        id: int,
        *,
        a: Msisdn | None = None,
        b: Msisdn | None = None,
        member: tuple[Msisdn, Msisdn] | None = None,
    ) -> Binding:
        """Put somebody else in the place of A, of B, or of a member (the old one and the new one).

        Raise ModeMismatch, PartyRepeated, BadRequest (no such member), or NumberTaken when a newcomer has a
        pair on X or Y in another binding already.
        """
        return await persist(self._replace, code, id, a, b, member)

    async def add_members(self, code: int, id: int, members: Sequence[Msisdn]) -> Binding:
        """Add to the group, at its end. Raise ModeMismatch, PartyRepeated, GroupSizeWrong, NumberTaken."""
        return await persist(self._regroup, code, id, list(members), [])

    async def remove_members(self, code: int, id: int, members: Sequence[Msisdn]) -> Binding:
        """Take out of the group. Raise ModeMismatch, BadRequest (no such member), GroupSizeWrong."""
        return await persist(self._regroup, code, id, [], list(members))

    async def _extend(self, code: int, id: int, end: datetime | timedelta) -> Binding:
        async with self._locked(code, id) as (row, refusal):
            expires_at = row.moment + end if isinstance(end, timedelta) else end
            if refusal is not None and expires_at > row.binding.expires_at:
                raise refusal
            if expires_at <= row.moment:
                raise LifetimeWrong("the end must lie in the future", field="expires_at")
            await row.run("set_expiry", expires_at=expires_at)
            await row.run("move_quota", **row.counted, expires_at=expires_at)
            pairs = row.binding.pairs()
            for number in row.binding.numbers:
                keys = row.keys([caller for dialled, caller in pairs if dialled == number])
                await row.run("extend_routes", serial=number.serial, keys=keys, expires_at=expires_at)
            return msgspec.structs.replace(row.binding, expires_at=expires_at.astimezone(UTC))

    async def _replace(
        self, code: int, id: int, a: Msisdn | None, b: Msisdn | None, member: tuple[Msisdn, Msisdn] | None
    ) -> Binding:
        async with self._locked(code, id) as (row, refusal):
            if refusal is not None:
                raise refusal
            old = row.binding.parties
            members = list(old.members)
            if member is not None:
                if not old.mode.is_group:
                    raise ModeMismatch("members belong to the modes GXB and GXYB", field="members")
                members[_place(members, member[0])] = member[1]
            new = Parties.of(old.mode, a=a or old.a, members=members, b=b or old.b)
            return await row.become(new)

    async def _regroup(
        self, code: int, id: int, joining: Sequence[Msisdn], leaving: Sequence[Msisdn]
    ) -> Binding:
        async with self._locked(code, id) as (row, refusal):
            if refusal is not None and joining:
                raise refusal
            old = row.binding.parties
            if not old.mode.is_group:
                raise ModeMismatch("members belong to the modes GXB and GXYB", field="members")
            members = list(old.members)
            for party in leaving:
                del members[_place(members, party)]
            members += joining
            if not 1 <= len(members) <= MAX_GROUP:
                raise GroupSizeWrong(field="members")
            return await row.become(Parties.of(old.mode, a=None, members=members, b=old.b))

    @asynccontextmanager
    async def _locked(self, code: int, id: int) -> AsyncIterator[tuple["_Row", QibaiError | None]]:
        """The binding, active and ours to change until the transaction ends, and what forbids it to grow."""
        codes = None
        if self._entitlement is not None:
            codes = await self._entitlement.codes(self._conn, self._now, not_version=self._stale)
        async with self._conn.transaction():
            if codes is not None and not await self._is_current(codes.version):
                self._stale = codes.version
                raise errors.SerializationFailure  # `persist` starts again, and reads the rights again
            epoch, by_next = await fetch_epoch(self._conn, self._keyring)
            key = {"code": code, "id": id, "tenant": self._tenant_id}
            cur = await self._conn.execute(_SQL["lock"], key, binary=True)
            found = await cur.fetchone()
            if found is None:
                raise BindingNotFound
            binding = from_row(found, self._keyring)
            if binding.released_at is not None:
                raise BindingEnded
            common = {**key, "now": self._now, "quarantine": self._quarantine}
            row = _Row(self._conn, self._keyring, epoch, binding, common, by_next=by_next)
            await row.hold()
            if binding.status(row.moment) is not Status.ACTIVE:
                raise BindingEnded
            serials = {number.serial for number in binding.numbers}
            refusal = None if codes is None else codes.refused_change(code, serials)
            yield row, refusal

    async def _is_current(self, version: int | None) -> bool:
        """Whether the rights are of this version, which they remain until the transaction ends."""
        cur = await self._conn.execute(_SQL["current_version"])
        row = await cur.fetchone()
        return row is not None and row[0] == version


def _place(members: Sequence[Msisdn], party: Msisdn) -> int:
    if party not in members:
        raise BadRequest("this is not a member of the group", field="members")
    return members.index(party)


class _Row:
    """A locked binding and its route rows."""

    def __init__(
        self,
        conn: Connection,
        keyring: Keyring,
        epoch: Epoch,
        binding: Binding,
        common: dict[str, Any],
        *,
        by_next: bool,
    ) -> None:
        self.binding = binding
        self._conn, self._keyring, self._epoch, self._by_next = conn, keyring, epoch, by_next
        self._common = common
        self._aad = binding_aad(binding.code, binding.id)

    @property
    def moment(self) -> datetime:
        """The time that decides, once ``hold`` has set it."""
        at: datetime = self._common["now"]
        return at

    async def hold(self) -> None:
        """Hold the pairs too, then read the clock. Raise StoreUnavailable when pairs are missing."""
        binding = self.binding
        pairs = sorted((number.serial, self.key(caller)) for number, caller in binding.pairs())
        params = {
            "serials": Int2s.of([serial for serial, _ in pairs]),
            "keys": Blobs.of_blobs([key for _, key in pairs]),
            "by_next": self._by_next,
        }
        cur = await self._conn.execute(_SQL["moment"], self._common | params, binary=True)
        found = await cur.fetchone()
        if found is None:
            raise StoreUnavailable
        self._common["now"] = found[1].astimezone(UTC)
        # Whose time is over may have lost pairs to others already.
        if found[0] < len(pairs) and binding.status(self.moment) is Status.ACTIVE:
            raise StoreUnavailable("the binding's routes are incomplete")

    async def run(self, name: str, **params: Any) -> tuple[int, Any]:
        """Run a statement; how many rows it touched, and the first value that it returned."""
        statement = _SQL[name].replace(b"/*arbiter*/", _ARBITER[self._by_next])
        if self._by_next and name != "add_route":
            statement = statement.replace(b"caller_key", b"next_key")
        cur = await self._conn.execute(statement, {**self._common, **params}, binary=True)
        row = await cur.fetchone() if cur.description else None
        return cur.rowcount, row[0] if row else None

    @property
    def counted(self) -> dict[str, Any]:
        """By what quotas count the binding."""
        one = self.binding
        return {"scene": one.scene.value, "province": one.province, "was": one.expires_at}

    def key(self, party: Msisdn) -> bytes:
        return self._epoch.keys(self._keyring, party)[0]

    def keys(self, parties: Sequence[Msisdn]) -> Blobs:
        return Blobs(Blobs.of_blobs(sorted(self.key(party) for party in parties)).data)

    async def become(self, new: Parties) -> Binding:
        """Give the binding other parties: pairs of the newcomers, the ends of the leavers', new callees."""
        old, binding = self.binding.parties, self.binding
        newcomers = set(new.everyone) - set(old.everyone)
        if newcomers:
            without_parties(binding.order_id, newcomers, "order_id")
            without_parties(binding.industrial_id, newcomers, "industrial_id")
            serials = Int2s.of(sorted(number.serial for number in binding.numbers))
            _, taken = await self.run("taken_elsewhere", serials=serials, keys=self.keys(sorted(newcomers)))
            if taken:
                raise NumberTaken("a new party has one of these numbers in another binding already")
            if await middle_numbers(self._conn, self._keyring, self._epoch.write, sorted(newcomers)):
                raise MiddleNumberAsParty("a new party is a middle number itself")
        before, after = binding.pairs(old), binding.pairs(new)
        reached = await self._reached(before)
        target = reached if reached in new.near else self._successor(old, new, reached)
        blobs = {party: self._seal(party) for party in new.everyone}
        for number, party in sorted(before.keys() - after.keys()):
            await self.run("end_route", serial=number.serial, key=self.key(party))
        moved: dict[tuple[Number700, Msisdn], list[Msisdn]] = {}
        for (number, party), pair in sorted(after.items()):
            callee = target if pair.by_b else new.everyone[pair.callee]
            was = before.get((number, party))
            if was is None:
                await self._add(number, party, pair, blobs[callee], blobs[party])
            elif callee != (reached if was.by_b else old.everyone[was.callee]):
                moved.setdefault((number, callee), []).append(party)
        for (number, callee), callers in moved.items():
            await self._point(number, callers, blobs[callee])
        group = new.mode.is_group
        await self.run(
            "set_parties",
            a=None if new.a is None else blobs[new.a],
            b=blobs[new.b],
            members=[blobs[party] for party in new.members] if group else None,
        )
        return msgspec.structs.replace(binding, source=new)

    async def _reached(self, pairs: Mapping[tuple[Number700, Msisdn], Pair]) -> Msisdn:
        """Whom B's calls reach: A, or the member who called last. B's row stays locked."""
        number, b = next(key for key, pair in pairs.items() if pair.by_b)
        _, callee = await self.run("lock_route", serial=number.serial, key=self.key(b))
        if callee is None:
            raise StoreUnavailable("the binding's routes are incomplete")
        return Msisdn(self._keyring.open(callee, self._aad))

    @staticmethod
    def _successor(old: Parties, new: Parties, reached: Msisdn) -> Msisdn:
        """Whoever took the place of ``reached``, else the first of the group."""
        place = old.near.index(reached) if reached in old.near else 0
        took_over = len(new.near) == len(old.near) and new.near[place] not in old.near
        return new.near[place] if took_over else new.near[0]

    async def _add(self, number: Number700, party: Msisdn, pair: Pair, callee: bytes, caller: bytes) -> None:
        key, following = self._epoch.keys(self._keyring, party)
        done, _ = await self.run(
            "add_route",
            serial=number.serial,
            key=key,
            next=following,
            shown=self.binding.numbers[pair.shown].serial,
            flags=flags_of(pair, self.binding.messages),
            max_call_s=self.binding.max_call_s,
            expires_at=self.binding.expires_at,
            callee=callee,
            caller=caller,
        )
        if not done:
            raise NumberTaken("a new party has one of these numbers in another binding already")

    async def _point(self, number: Number700, callers: Sequence[Msisdn], callee: bytes) -> None:
        await self.run("set_callee", serial=number.serial, keys=self.keys(callers), callee=callee)

    def _seal(self, party: Msisdn) -> bytes:
        return self._keyring.seal(party.e164, self._aad)
