"""What the API does, apart from HTTP: one object per worker process, holding connections, keys and caches."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg

from qibai.api import convert, models
from qibai.api.auth import Authenticator
from qibai.api.connections import Connections
from qibai.api.decode import decode
from qibai.api.errors import Overloaded
from qibai.api.groupcommit import GroupCommit
from qibai.api.key_reads import KeyReads
from qibai.api.legible import legible
from qibai.api.metrics import binds_counted, releases_counted
from qibai.api.metrics.engines import EngineWatch
from qibai.api.metrics.place import Watcher
from qibai.api.outbox import Outbox
from qibai.api.problems import problem_of, status_of
from qibai.api.reach import Reach
from qibai.api.translate import Translator
from qibai.config import Config
from qibai.core.binding import Mode, Status
from qibai.core.errors import BadRequest, QibaiError, SchemaError, StoreUnavailable
from qibai.core.ids import format_id
from qibai.core.numbering import Msisdn, Number700
from qibai.settings.live import LiveConfig
from qibai.store import bindings, dsn
from qibai.store.anchors import Witness
from qibai.store.bindings import BindItem, Bound, Entitlement, Released
from qibai.store.codes import codes_of_tenant
from qibai.store.connection import Connection
from qibai.store.keys import Keyring
from qibai.store.migrate import pending

LANES: Final = 2  #: tenants whose batches are under way at once
BULKS: Final = 2  #: bulk requests at once
BULKS_WAITING: Final = 16  #: beyond them; more are refused
CONNECTIONS: Final = 8
BULK_TIMEOUT_S: Final = 60.0
_BREATH: Final = 64  #: items converted before others on the event loop have their turn

_BIND_REQUEST: Final = msgspec.json.Decoder(models.BindRequest)


class Services:
    """Everything that handlers call. A tenant id is always the asking tenant's."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._live = LiveConfig(config, "api")
        self._live.watch(self._change)
        self.dsn = dsn(config)
        self.keyring = Keyring.load(config.key_file)
        self.connections = Connections(
            self.dsn, CONNECTIONS, connect_timeout_s=config.store.connect_timeout_s
        )
        self.key_reads = KeyReads(self.connections)
        self.witness = Witness.of(config, self.keyring)
        self.auth = Authenticator(self.connections, self.keyring, plain_bearer=config.api.bearer_over_http)
        self.translator = Translator(config)
        self.outbox = Outbox(self.translator, self.keyring, config.messaging)
        self.binds: GroupCommit[int, BindItem, Bound] = GroupCommit(self._bind, lanes=LANES)
        self.releases: GroupCommit[int, tuple[int, int], Released] = GroupCommit(self._release, lanes=1)
        self._quarantine = timedelta(seconds=config.binding.quarantine_s)
        self._rules = config.pilot.rules
        self._entitlements: dict[int, Entitlement] = {}
        self._bulks = asyncio.Semaphore(BULKS)
        self._bulk_requests = 0
        self.watcher = Watcher(self.connections, config.pools)
        self.engines = EngineWatch(config)
        self._probe: asyncio.Future[Any] | None = None
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="probe")

    def _change(self, config: Config) -> None:
        self.config = config
        self._quarantine = timedelta(seconds=config.binding.quarantine_s)

    async def close(self) -> None:
        """Answer what waits, then close connections."""
        await self.binds.close()
        await self.releases.close()
        await self.key_reads.close()
        await self.connections.close()
        self.translator.close()
        self._prober.shutdown(wait=False)

    async def bind(self, tenant_id: int, body: bytes, key: str | None) -> tuple[models.Binding, bool]:
        """Bind one; the binding, and whether an earlier request had made it."""
        now = datetime.now(UTC)
        request = decode(_BIND_REQUEST, body)
        item = convert.bind_item(
            request, self.config.binding, now, convert.idempotency_of(self.keyring, key, body)
        )
        bound = await self.binds.submit(tenant_id, item)
        (binding,) = await self._bound(tenant_id, [bound])
        return binding, bound.replayed

    async def bind_bulk(
        self, tenant_id: int, raw_items: Sequence[msgspec.Raw], key: str | None
    ) -> models.BulkBindAnswer:
        """Bind many, each succeeding or failing by itself. Raise BadRequest when they are too many."""
        self._check_size(len(raw_items), "items")
        async with self._bulk_turn():
            now = datetime.now(UTC)
            items: list[BindItem] = []
            places: list[int] = []
            results: list[models.BulkBound | None] = [None] * len(raw_items)
            for place, raw in enumerate(raw_items):
                try:
                    data = bytes(raw)
                    idempotency = convert.idempotency_of(self.keyring, key, data, place)
                    request = decode(_BIND_REQUEST, data)
                    items.append(convert.bind_item(request, self.config.binding, now, idempotency))
                    places.append(place)
                except QibaiError as exc:
                    results[place] = models.BulkBound(status=status_of(exc), problem=problem_of(exc))
                if place % _BREATH == 0:
                    await asyncio.sleep(0)
            answers = await self._bind(tenant_id, items)
            made = iter(await self._bound(tenant_id, [one for one in answers if isinstance(one, Bound)]))
            for place, result in zip(places, answers, strict=True):
                if isinstance(result, QibaiError):
                    results[place] = models.BulkBound(status=status_of(result), problem=problem_of(result))
                else:
                    results[place] = models.BulkBound(
                        status=201, binding=next(made), replayed=result.replayed
                    )
            return models.BulkBindAnswer([result for result in results if result is not None])

    async def release(self, tenant_id: int, id: str) -> models.Released:
        """End a binding; one that is over already stays as it was. Raise BindingNotFound."""
        return convert.released(await self.releases.submit(tenant_id, convert.binding_id(id)))

    async def release_bulk(self, tenant_id: int, ids: Sequence[str]) -> models.BulkReleaseAnswer:
        """End many bindings. Raise BadRequest when they are too many."""
        self._check_size(len(ids), "ids")
        async with self._bulk_turn():
            results: list[models.BulkReleased | None] = [None] * len(ids)
            places, wanted = [], []
            for place, id in enumerate(ids):
                try:
                    wanted.append(convert.binding_id(id))
                    places.append(place)
                except QibaiError as exc:
                    results[place] = models.BulkReleased(status=status_of(exc), problem=problem_of(exc))
            answers = await self._release(tenant_id, wanted) if wanted else []
            for place, answer in zip(places, answers, strict=True):
                if isinstance(answer, QibaiError):
                    results[place] = models.BulkReleased(status=status_of(answer), problem=problem_of(answer))
                else:
                    results[place] = models.BulkReleased(status=200, released=convert.released(answer))
            return models.BulkReleaseAnswer([result for result in results if result is not None])

    async def change(self, tenant_id: int, id: str, request: models.ChangeRequest) -> models.Binding:
        """Change the end or a party. Raise BadRequest unless it is just one of the two."""
        now = datetime.now(UTC)
        code, row_id = convert.binding_id(id)
        life = request.ttl is not None or request.expires_at is not None
        party = request.a is not None or request.b is not None
        if life == party:
            raise BadRequest("give a new end (ttl or expires_at) or a new party (a, b), one of the two")
        if life:
            end = convert.end_of(request, self.config.binding, now)
            length = None if request.ttl is None else timedelta(seconds=request.ttl)
            async with self.connections.get() as conn:
                return _changed(await self._editor(conn, tenant_id).extend(code, row_id, length or end))
        a = None if request.a is None else Msisdn.parse(request.a, field="a")
        b = None if request.b is None else Msisdn.parse(request.b, field="b")
        async with self.connections.get() as conn:
            changed = await self._editor(conn, tenant_id).change_party(code, row_id, a=a, b=b)
        return _changed(changed)

    async def change_members(
        self, tenant_id: int, id: str, request: models.MembersRequest, *, add: bool
    ) -> models.Binding:
        """Add to a group, or take out of it."""
        code, row_id = convert.binding_id(id)
        members = [Msisdn.parse(member, field="members") for member in request.members]
        async with self.connections.get() as conn:
            editor = self._editor(conn, tenant_id)
            change = editor.add_members if add else editor.remove_members
            return _changed(await change(code, row_id, members))

    async def get(self, reach: Reach, id: str) -> models.Binding:
        """One binding. Raise BindingNotFound."""
        code, row_id = convert.binding_id(id)
        async with self.connections.get() as conn:
            row, now = await bindings.read(conn, self.keyring, reach.tenant_id, code, row_id)
        return convert.binding(row, now, reach.shown)

    async def codes(self, tenant_id: int) -> models.CodeList:
        """The tenant's codes."""
        async with self.connections.get() as conn:
            rows = await codes_of_tenant(conn, tenant_id)
        return models.CodeList([models.Code(f"700{r.code:08d}", r.province, r.enabled) for r in rows])

    async def check_ready(self) -> None:
        """Raise StoreUnavailable or SchemaError unless requests can be served."""
        probe = self._probe
        if probe is None or probe.done():  # a database that hangs is asked once at a time
            loop = asyncio.get_running_loop()
            probe = self._probe = loop.run_in_executor(self._prober, pending, self.dsn)
        try:
            async with asyncio.timeout(3):
                left = await asyncio.shield(probe)
        except (TimeoutError, OSError, psycopg.Error):
            raise StoreUnavailable from None
        if left:
            raise SchemaError

    async def list_page(
        self,
        reach: Reach,
        *,
        status: Status | None = None,
        order_id: str | None = None,
        number: str | None = None,
        mode: Mode | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> models.BindingPage:
        """A page of bindings, newest first."""
        async with self.connections.get() as conn:
            now = await bindings.database_time(conn)
            page = await bindings.list_bindings(
                conn,
                self.keyring,
                reach.tenant_id,
                now,
                status=status,
                order_id=order_id,
                number=None if number is None else Number700.parse(number),
                mode=mode,
                cursor=cursor,
                limit=limit,
            )
        items, unreadable = legible(
            page.bindings,
            lambda row: convert.binding(row, now, reach.shown),
            lambda row: format_id("b", row.code, row.id),
        )
        return models.BindingPage(items, page.cursor, unreadable)

    @asynccontextmanager
    async def _bulk_turn(self) -> AsyncIterator[None]:
        if self._bulk_requests >= BULKS + BULKS_WAITING:
            raise Overloaded
        self._bulk_requests += 1
        try:
            async with self._bulks:
                yield
        finally:
            self._bulk_requests -= 1

    def _check_size(self, count: int, field: str) -> None:
        if not 1 <= count <= self.config.api.max_bulk:
            raise BadRequest(f"give 1 to {self.config.api.max_bulk} {field}", field=field)

    def _editor(self, conn: Connection, tenant_id: int) -> bindings.BindingEditor:
        return bindings.BindingEditor(
            conn,
            self.keyring,
            tenant_id,
            quarantine=self._quarantine,
            entitlement=self._entitlement(tenant_id),
        )

    @binds_counted
    async def _bind(self, tenant_id: int, items: Sequence[BindItem]) -> Sequence[Bound | QibaiError]:
        if not items:
            return []
        async with self.connections.get(timeout_s=BULK_TIMEOUT_S if len(items) > 256 else 10.0) as conn:
            return await bindings.bind_many(
                conn,
                self.keyring,
                tenant_id,
                self._entitlement(tenant_id),
                items,
                quarantine=self._quarantine,
            )

    async def _bound(self, tenant_id: int, made: Sequence[Bound]) -> list[models.Binding]:
        """As answers: what is new as it was made, what an earlier request had made as it is by now."""
        again = [one.binding for one in made if one.replayed]
        if again:
            async with self.connections.get() as conn:
                again, now = await bindings.settled(conn, self.keyring, tenant_id, again)
        earlier = iter(again)
        return [
            convert.binding(next(earlier), now)
            if one.replayed
            else convert.binding(one.binding, one.binding.created_at)
            for one in made
        ]

    @releases_counted
    async def _release(
        self, tenant_id: int, ids: Sequence[tuple[int, int]]
    ) -> Sequence[Released | QibaiError]:
        async with self.connections.get(timeout_s=BULK_TIMEOUT_S if len(ids) > 256 else 10.0) as conn:
            return await bindings.release_many(
                conn, self.keyring, tenant_id, ids, quarantine=self._quarantine
            )

    def _entitlement(self, tenant_id: int) -> Entitlement:
        """What the tenant is entitled to, as this worker knows it."""
        found = self._entitlements.get(tenant_id)
        if found is None:
            found = self._entitlements[tenant_id] = Entitlement(tenant_id, self._rules)
        return found


def _changed(row: bindings.Binding) -> models.Binding:
    """A binding just after its change: it was active then, or the change would have been refused."""
    return convert.binding(row, row.created_at)
