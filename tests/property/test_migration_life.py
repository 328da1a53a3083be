"""Whatever is executed, killed, cut over or rolled back: each old binding has one 700 binding, or none."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binding_tools import connection
from migration_tools import TERMS, Text, check_whole, count, jsonl, old
from qibai.core.errors import QibaiError, StepRefused, StoreUnavailable
from qibai.core.existing import ExistingNumber
from qibai.core.numbering import Code, Msisdn
from qibai.core.routing import RefusalReason, Route, decide
from qibai.store import codes, tenants
from qibai.store.bindings import release
from qibai.store.existing import business, rollback, run
from qibai.store.existing.rollback import RollBack
from qibai.store.existing.run import Execution, turn
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader

COUNT, SMALL = 12, 4
ACTIONS = st.one_of(
    st.just(("execute", COUNT)),
    st.tuples(st.just("execute"), st.integers(0, COUNT - 1)),  # killed after so many
    st.just(("roll back", COUNT)),
    st.tuples(st.just("roll back"), st.integers(0, COUNT - 1)),
    st.just(("cut over", 0)),
    st.just(("go on", 0)),
    st.tuples(st.just("release"), st.integers(0, COUNT - 1)),
)


class Life:
    """A tenant with its export, and what is done to it."""

    def __init__(self, dsn: str, keyring: Keyring, tenant: int) -> None:
        self.dsn, self.keyring, self.tenant = dsn, keyring, tenant
        self.rows = [old(n, per_x=3) for n in range(COUNT)]
        self.over: set[int] = set()  # their order has ended
        self.cut = self.began = False

    async def do(self, what: str, how: int) -> None:
        try:
            if what == "execute":
                self.began = True
                source = Text(jsonl(*self.rows))
                await Execution(self.dsn, self.keyring, self.tenant, source, TERMS).run(self.killer(how))
            elif what == "roll back":
                async with turn(self.dsn) as conn:
                    now = datetime.now(UTC)
                    async with conn.transaction():
                        await business.begin_roll_back(conn, "shop", TERMS.rules, now=now)
                    self.cut = False
                    back = RollBack(conn, self.keyring, self.tenant, timedelta(days=1))
                    await back.run(self.killer(how))
            elif what == "release":
                await self.release(how)
            else:
                await self.turn(what)
        except StoreUnavailable:  # killed
            await self.wait_alone()
        except StepRefused:
            assert not self.began or what in {"cut over", "go on"}

    async def turn(self, what: str) -> None:
        async with connection(self.dsn) as conn, conn.transaction():
            now = datetime.now(UTC)
            if what == "cut over":
                await business.cut_over(conn, "shop", now=now, force=True)
            else:
                await business.go_on(conn, "shop", TERMS.rules, now=now)
        self.cut = what == "cut over"

    async def release(self, n: int) -> None:
        """The enterprise ends an order: it knows the 700 binding."""
        async with connection(self.dsn) as conn:
            cur = await conn.execute(
                "SELECT code, id FROM binding WHERE order_id = %s AND released_at IS NULL", [f"order-{n}"]
            )
            row = await cur.fetchone()
            if row is not None:
                quarantine = timedelta(days=1)
                await release(
                    conn, self.keyring, self.tenant, *row, now=datetime.now(UTC), quarantine=quarantine
                )
                self.over.add(n)

    def killer(self, after: int) -> Callable[[str, int, int | None], None]:
        """Cuts the connections of whatever is under way once so many are done."""

        def step(what: str, done: int, total: int | None) -> None:
            if what != "checked" and after <= done < COUNT and after < COUNT:
                with psycopg.connect(self.dsn, autocommit=True) as conn:
                    conn.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'qibai-migration' AND datname = current_database()"
                    )

        return step

    async def wait_alone(self) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qibai-migration'"
        deadline = time.monotonic() + 20
        while count(self.dsn, query + " AND datname = current_database()"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    def check(self, reader: RouteReader) -> None:
        check_whole(self.dsn)
        with psycopg.connect(self.dsn) as conn:
            there = {row[0] for row in conn.execute("SELECT order_id FROM existing_binding").fetchall()}
        policy = reader.policy(TERMS.rules)
        for n, row in enumerate(self.rows):
            x, a, now = ExistingNumber(row["x"]), Msisdn(row["a"]), time.time()
            record = reader.find(x, a)
            in_use = record is None and reader.number_in_use(x, now)
            decision = decide(x, a, record, now, number_in_use=in_use, policy=policy)
            if f"order-{n}" not in there:
                assert not isinstance(decision, Route)
            elif n in self.over:
                assert not isinstance(decision, Route) and decision.reason is RefusalReason.ORDER_ENDED
            elif self.cut:
                assert not isinstance(decision, Route) and decision.rule == "moved_to_700"
            else:
                assert isinstance(decision, Route)
                assert reader.open_callee(decision.record).e164 == row["b"]


@settings(max_examples=12)
@given(actions=st.lists(ACTIONS, min_size=2, max_size=7))
def test_each_old_binding_is_mapped_once_whatever_happens(
    actions: list[tuple[str, int]],
    database: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (run, rollback):
        monkeypatch.setattr(module, "BATCH", SMALL)
    monkeypatch.setattr(run, "workers", run.local)  # as many processes as there are do the same
    asyncio.run(_live(database(), Keyring.load_or_create(tmp_path / "keys.json"), actions))


async def _live(dsn: str, keyring: Keyring, actions: list[tuple[str, int]]) -> None:
    async with connection(dsn) as conn:
        tenant = (await tenants.add_tenant(conn, "shop")).id
        await codes.add_codes(conn, [Code(12345678)], tenant_id=tenant)
    life = Life(dsn, keyring, tenant)
    reader = RouteReader(dsn, keyring, 2_000)
    try:
        for what, how in actions:
            await life.do(what, how)
            life.check(reader)
        await life.do("execute", COUNT)  # at the end all that can be moved is
        life.check(reader)
        left = count(
            dsn, "SELECT count(*) FROM existing_binding WHERE new_id IS NULL AND released_at IS NULL"
        )
        assert left == 0 and count(dsn, "SELECT count(*) FROM existing_binding") == COUNT
    except QibaiError as exc:
        raise AssertionError(f"{exc.code}: {exc.message}") from exc
    finally:
        reader.close()
