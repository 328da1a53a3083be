"""Bindings of a tenant: made, read, changed and released, for every way in.

A way in decodes a request into ``Wanted`` and encodes what comes back; ids are (code, id). If the database
does not answer, every method raises StoreUnavailable. What a method returns is committed.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

import msgspec

from qibai.config import Config
from qibai.core.binding import Messages, Mode, Parties, Scene, Status, expiry
from qibai.core.errors import LifetimeWrong, QibaiError
from qibai.core.numbering import Msisdn, Number700, Province
from qibai.core.typed import without_parties
from qibai.service.bulk import Bulks
from qibai.service.lender import Lender
from qibai.store import bindings
from qibai.store.bindings import Binding, BindingEditor, BindItem, Bound, Entitlement, Idempotency, Released
from qibai.store.codes import TenantCode, codes_of_tenant
from qibai.store.group_commit import MOST_WAITING, GroupCommit
from qibai.store.keys import Keyring

__all__ = ["Binding", "BindingAt", "BindingPage", "Bindings", "Once", "Released", "Wanted"]

LANES: Final = 2  #: tenants whose batches are under way at once
BULK_TIMEOUT_S: Final = 60.0
REQUEST_TIMEOUT_S: Final = 10.0
#: Takes a result (bound, replayed, released, or an error's code) and how many of a batch had it.
OnResults = Callable[[str, int], None]
_LARGE_BATCH: Final = 256  # items; more take longer than a usual request may


class Once(NamedTuple):
    """What makes a repeated request harmless: the client's key for the request, and the request's octets."""

    key: str
    request: bytes

    def digests(self, keyring: Keyring) -> Idempotency:
        """Keyed digests of both, which may hold real numbers.

        Without a secret key, whoever reads the digests could try all mobile numbers.
        """
        key, request = keyring.lasting_mac(self.key.encode()), keyring.lasting_mac(self.request)
        return Idempotency(key[:16], request[:16])


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A binding that a tenant asks for; what is None is as configured, or as it comes."""

    parties: Parties
    order_id: str
    scene: Scene = Scene.OTHER
    ttl: timedelta | None = None
    expires_at: datetime | None = None
    max_call_s: int | None = None
    messages: Messages = Messages.BOTH
    province: Province | None = None
    industrial_id: str | None = None
    x: Number700 | None = None
    sticky: bool = False  #: the same parties get the same numbers again while those are free
    once: Once | None = None


class BindingAt(NamedTuple):
    """A binding as it is at the time ``at`` by the database's clock.

    ``replayed``: of a bind, an earlier request with the same key had made it.
    """

    binding: Binding
    at: datetime
    replayed: bool = False


class BindingPage(NamedTuple):
    """Bindings, newest first; ``cursor`` leads to the next page, None at the end."""

    bindings: list[Binding]
    at: datetime
    cursor: str | None


class Bindings:
    """What tenants do with bindings. One a process: concurrent binds and releases share their commits."""

    def __init__(
        self,
        lender: Lender,
        keyring: Keyring,
        config: Config,
        *,
        on_binds: OnResults = lambda result, items: None,
        on_releases: OnResults = lambda result, items: None,
    ) -> None:
        """``on_binds`` and ``on_releases`` are called with the results of each batch."""
        self._lender, self._keyring = lender, keyring
        self._on_binds, self._on_releases = on_binds, on_releases
        self._rules = config.pilot.rules
        self.use(config)
        self._binds: GroupCommit[int, BindItem, Bound] = GroupCommit(
            self._bind, lanes=LANES, max_waiting=MOST_WAITING
        )
        self._releases: GroupCommit[int, tuple[int, int], Released] = GroupCommit(
            self._release, lanes=1, max_waiting=MOST_WAITING
        )
        self._entitlements: dict[int, Entitlement] = {}
        self._bulks = Bulks()

    def use(self, config: Config) -> None:
        """Take over a changed configuration: lifetimes, the longest call, the quarantine."""
        self._limits = config.binding
        self._quarantine = timedelta(seconds=config.binding.quarantine_s)

    async def close(self) -> None:
        """Wait until everything that was submitted is answered."""
        await self._binds.close()
        await self._releases.close()

    @property
    def binds_waiting(self) -> int:
        """Binds that are in no batch yet."""
        return self._binds.waiting

    @property
    def releases_waiting(self) -> int:
        """Releases that are in no batch yet."""
        return self._releases.waiting

    async def bind(self, tenant_id: int, wanted: Wanted) -> BindingAt:
        """Bind real numbers to one or two 700 numbers.

        Raise LifetimeWrong, NumberNotAllowed, MiddleNumberAsParty, NoCodes, NoCodeForProvince, NumberTaken,
        NumberNotOwned, PoolExhausted, QuotaExceeded, PolicyRefused, IdempotencyMismatch or Overloaded.
        """
        bound = await self._binds.submit(tenant_id, self._item(wanted, datetime.now(UTC)))
        if bound.replayed:
            (earlier,) = await self._earlier(tenant_id, [bound.binding])
            return earlier
        return _fresh(bound.binding)

    async def bind_each(
        self, tenant_id: int, wanted: Iterable[Wanted | QibaiError]
    ) -> list[BindingAt | QibaiError]:
        """Bind many, each succeeding or failing by itself. Returns and raises as ``Bulks.run``."""
        now = datetime.now(UTC)
        return await self._bulks.run(
            wanted, lambda one: self._item(one, now), partial(self._bind_and_settle, tenant_id)
        )

    async def release(self, tenant_id: int, code: int, id: int) -> Released:
        """End a binding; one that is over already stays as it was. Raise BindingNotFound, Overloaded."""
        return await self._releases.submit(tenant_id, (code, id))

    async def release_each(
        self, tenant_id: int, ids: Iterable[tuple[int, int] | QibaiError]
    ) -> list[Released | QibaiError]:
        """End many bindings, each by itself. Returns and raises as ``Bulks.run``."""
        return await self._bulks.run(ids, lambda id: id, partial(self._release, tenant_id))

    async def extend(
        self,
        tenant_id: int,
        code: int,
        id: int,
        *,
        ttl: timedelta | None = None,
        expires_at: datetime | None = None,
    ) -> BindingAt:
        """Give a new end: ``ttl`` from now, or ``expires_at``.

        Raise BindingNotFound, BindingEnded, LifetimeWrong, PolicyRefused.
        """
        end = self._end(datetime.now(UTC), ttl, expires_at)
        async with self._editor(tenant_id) as editor:
            return _fresh(await editor.extend(code, id, ttl or end))

    async def change_party(
        self, tenant_id: int, code: int, id: int, *, a: Msisdn | None, b: Msisdn | None
    ) -> BindingAt:
        """Put somebody else in the place of A, B or both; the numbers stay.

        Raise BindingNotFound, BindingEnded, ModeMismatch, PartyRepeated, NumberTaken, NumberNotAllowed,
        MiddleNumberAsParty, PolicyRefused.
        """
        async with self._editor(tenant_id) as editor:
            return _fresh(await editor.change_party(code, id, a=a, b=b))

    async def add_members(self, tenant_id: int, code: int, id: int, members: Sequence[Msisdn]) -> BindingAt:
        """Add to a group, at its end. Raise as ``change_party``, and GroupSizeWrong."""
        async with self._editor(tenant_id) as editor:
            return _fresh(await editor.add_members(code, id, members))

    async def remove_members(
        self, tenant_id: int, code: int, id: int, members: Sequence[Msisdn]
    ) -> BindingAt:
        """Take out of a group. Raise BadRequest where one is no member, and as ``add_members``."""
        async with self._editor(tenant_id) as editor:
            return _fresh(await editor.remove_members(code, id, members))

    async def get(self, tenant_id: int, code: int, id: int) -> BindingAt:
        """One binding, also one that is over. Raise BindingNotFound."""
        async with self._lender.get() as conn:
            row, now = await bindings.read(conn, self._keyring, tenant_id, code, id)
        return BindingAt(row, now)

    async def page(
        self,
        tenant_id: int,
        *,
        status: Status | None = None,
        order_id: str | None = None,
        number: Number700 | None = None,
        mode: Mode | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> BindingPage:
        """A page of bindings, newest first; ``number`` is X or Y. Raise BadRequest for a wrong cursor."""
        async with self._lender.get() as conn:
            now = await bindings.database_time(conn)
            page = await bindings.list_bindings(
                conn,
                self._keyring,
                tenant_id,
                now,
                status=status,
                order_id=order_id,
                number=number,
                mode=mode,
                cursor=cursor,
                limit=limit,
            )
        return BindingPage(page.bindings, now, page.cursor)

    async def codes(self, tenant_id: int) -> list[TenantCode]:
        """The codes that numbers of the tenant are drawn from."""
        async with self._lender.get() as conn:
            return await codes_of_tenant(conn, tenant_id)

    def _item(self, wanted: Wanted, now: datetime) -> BindItem:
        """What the store binds. Raise LifetimeWrong, NumberNotAllowed."""
        parties, limits = wanted.parties, self._limits
        without_parties(wanted.order_id, parties.everyone, "order_id")
        without_parties(wanted.industrial_id, parties.everyone, "industrial_id")
        max_call_s = limits.default_max_call_s if wanted.max_call_s is None else wanted.max_call_s
        if max_call_s > limits.max_call_s:
            raise LifetimeWrong(f"a call lasts at most {limits.max_call_s} s", field="max_call_s")
        return BindItem(
            parties=parties,
            scene=wanted.scene,
            order_id=wanted.order_id,
            expires_at=self._end(now, wanted.ttl, wanted.expires_at),
            max_call_s=max_call_s,
            messages=wanted.messages,
            province=None if wanted.province is None else wanted.province.code,
            industrial_id=wanted.industrial_id,
            expected=wanted.x,
            sticky=wanted.sticky,
            idempotency=None if wanted.once is None else wanted.once.digests(self._keyring),
        )

    def _end(self, now: datetime, ttl: timedelta | None, expires_at: datetime | None) -> datetime:
        return expiry(
            now,
            ttl=ttl,
            expires_at=expires_at,
            default=timedelta(seconds=self._limits.default_ttl_s),
            maximum=timedelta(seconds=self._limits.max_ttl_s),
        )

    @asynccontextmanager
    async def _editor(self, tenant_id: int) -> AsyncIterator[BindingEditor]:
        async with self._lender.get() as conn:
            yield BindingEditor(
                conn,
                self._keyring,
                tenant_id,
                quarantine=self._quarantine,
                entitlement=self._entitlement(tenant_id),
            )

    async def _bind(self, tenant_id: int, items: Sequence[BindItem]) -> Sequence[Bound | QibaiError]:
        with _errors_counted(self._on_binds, len(items)):
            async with self._lender.get(_time_for(items)) as conn:
                results = await bindings.bind_many(
                    conn,
                    self._keyring,
                    tenant_id,
                    self._entitlement(tenant_id),
                    items,
                    quarantine=self._quarantine,
                )
        _count(self._on_binds, (_result(one) for one in results))
        return results

    async def _bind_and_settle(
        self, tenant_id: int, items: Sequence[BindItem]
    ) -> Sequence[BindingAt | QibaiError]:
        results = await self._bind(tenant_id, items)
        replays = [one.binding for one in results if isinstance(one, Bound) and one.replayed]
        earlier = iter(await self._earlier(tenant_id, replays))
        return [
            one if isinstance(one, QibaiError) else next(earlier) if one.replayed else _fresh(one.binding)
            for one in results
        ]

    async def _earlier(self, tenant_id: int, made: Sequence[Binding]) -> list[BindingAt]:
        """What earlier requests had made, as it is by now."""
        if not made:
            return []
        async with self._lender.get() as conn:
            rows, now = await bindings.settled(conn, self._keyring, tenant_id, made)
        return [BindingAt(row, now, replayed=True) for row in rows]

    async def _release(
        self, tenant_id: int, ids: Sequence[tuple[int, int]]
    ) -> Sequence[Released | QibaiError]:
        with _errors_counted(self._on_releases, len(ids)):
            async with self._lender.get(_time_for(ids)) as conn:
                results = await bindings.release_many(
                    conn, self._keyring, tenant_id, ids, quarantine=self._quarantine
                )
        _count(self._on_releases, (_result(one) for one in results))
        return results

    def _entitlement(self, tenant_id: int) -> Entitlement:
        """What the tenant is entitled to, as this process knows it."""
        found = self._entitlements.get(tenant_id)
        if found is None:
            found = self._entitlements[tenant_id] = Entitlement(tenant_id, self._rules)
        return found


@contextmanager
def _errors_counted(on_results: OnResults, items: int) -> Iterator[None]:
    """Count an error of the whole batch for each of its items."""
    try:
        yield
    except QibaiError as exc:
        on_results(exc.code, items)
        raise


def _count(on_results: OnResults, results: Iterable[str]) -> None:
    for result, items in Counter(results).items():
        on_results(result, items)


def _result(one: Bound | Released | QibaiError) -> str:
    if isinstance(one, QibaiError):
        return one.code
    if isinstance(one, Released):
        return "released"
    return "replayed" if one.replayed else "bound"


def _time_for(items: Sequence[object]) -> float:
    return BULK_TIMEOUT_S if len(items) > _LARGE_BATCH else REQUEST_TIMEOUT_S


def _fresh(row: Binding) -> BindingAt:
    """A binding just after it was made or changed: it is active, or that would have been refused."""
    return BindingAt(row, row.created_at)
