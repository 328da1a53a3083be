"""Old bindings as stored: sealed and found by keyed hash, through rotations of keys, until they are swept."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest

from binding_tools import connection, item
from migration_tools import check_whole, count, jsonl, old, take_over
from qibai.config import RetentionConfig
from qibai.core.binding import Mode, Parties
from qibai.core.existing import ExistingNumber
from qibai.core.numbering import Code, Msisdn
from qibai.store import codes, tenants
from qibai.store.bindings import BindingEditor, Bound, bind_many
from qibai.store.codes import TenantCode
from qibai.store.keys import Keyring
from qibai.store.rotate_hash import rotate_hash
from qibai.store.rotate_values import rotate_values
from qibai.store.rotating import RotationStep
from qibai.store.routes import RouteReader
from qibai.store.sweep import sweep


@pytest.fixture
async def shop(dsn: str) -> int:
    async with connection(dsn) as conn:
        made = await tenants.add_tenant(conn, "shop")
        await codes.add_codes(conn, [Code(12345678)], tenant_id=made.id)
        return made.id


@pytest.fixture
def reader(dsn: str, keyring: Keyring) -> Iterator[RouteReader]:
    made = RouteReader(dsn, Keyring.load(keyring.path), 2_000)
    yield made
    made.close()


def reached(reader: RouteReader, row: dict[str, str], caller: str = "a") -> str | None:
    record = reader.find(ExistingNumber.parse(row["x"]), Msisdn(row[caller]))
    return None if record is None or record.ends_at <= time.time() else reader.open_callee(record).e164


async def test_no_number_is_stored_in_clear(dsn: str, keyring: Keyring, shop: int) -> None:
    await take_over(dsn, keyring, shop, jsonl(old(1), old(2, y="+8617199990000", mode="AXYB")))
    with psycopg.connect(dsn) as conn:
        for table in ("existing_binding", "existing_route", "migration", "migration_reject", "audit"):
            for (text,) in conn.execute(f"SELECT t::text FROM {table} t").fetchall():  # noqa: S608
                for row in (old(1), old(2)):
                    assert not any(row[name][3:] in text for name in "xab")
                    assert not any(row[name][3:].encode().hex() in text for name in "xab")


async def test_they_are_found_through_rotations(
    dsn: str, keyring: Keyring, shop: int, reader: RouteReader
) -> None:
    rows = [old(n) for n in range(30)] + [old(40, x="+8695013123", mode="AXN", b=None)]
    await take_over(dsn, keyring, shop, jsonl(*rows))

    def watch(step: RotationStep) -> None:
        assert reached(reader, rows[0]) == rows[0]["b"] and reached(reader, rows[29], "b") == rows[29]["a"]
        found = reader.find(ExistingNumber("+8695013123"), Msisdn("+8613700000000"))
        assert found is not None and found.anyone
        assert reader.number_in_use(ExistingNumber(rows[0]["x"]), time.time())

    rotate_hash(dsn, keyring, watch)
    rotate_values(dsn, keyring, watch, settle_s=0.1)
    fresh = RouteReader(dsn, Keyring.load(keyring.path), 2_000)
    assert all(reached(fresh, row) == row["b"] for row in rows[:30])
    fresh.close()
    value_key = keyring.value_id.to_bytes(2).hex()
    stale = f"encode(substr(numbers, 1, 2), 'hex') <> '{value_key}'"
    for table in ("existing_binding", "existing_route"):
        assert count(dsn, f"SELECT count(*) FROM {table} WHERE {stale}") == 0  # noqa: S608
    assert count(dsn, "SELECT count(*) FROM existing_route WHERE next_key IS NOT NULL") == 0
    again = await take_over(dsn, keyring, shop, jsonl(*rows, old(50)))
    assert (again.counts.earlier, again.counts.kept, again.counts.moved) == (30, 1, 1)
    check_whole(dsn)


async def test_both_keys_are_written_while_the_hash_key_is_rotated(
    dsn: str, keyring: Keyring, shop: int, reader: RouteReader
) -> None:
    """In each phase bindings are taken over, and found then and after."""
    taken: list[int] = []

    class Stop(Exception):
        pass

    def halt(job: str) -> Callable[[RotationStep], None]:
        def step(done: RotationStep) -> None:
            if done.job.endswith(job):
                raise Stop

        return step

    for phase, job in enumerate(("fill", "switch", "clean", "")):
        try:
            rotate_hash(dsn, keyring, halt(job) if job else lambda step: None)
        except Stop:
            assert count(dsn, "SELECT phase FROM hash_rotation") == phase + 1
        first = len(taken)
        rows = [old(n) for n in range(first, first + 3)]
        outcome = await take_over(dsn, keyring, shop, jsonl(*rows))
        assert outcome.counts.moved == 3
        again = await take_over(dsn, keyring, shop, jsonl(*rows, {**rows[0], "order_id": "twice"}))
        assert (again.counts.earlier, again.counts.moved) == (3, 0)
        taken += range(first, first + 3)
        assert all(reached(reader, old(n)) == old(n)["b"] for n in taken)
    check_whole(dsn)


async def test_an_old_number_lives_as_long_as_its_700_binding_and_is_swept_then(
    dsn: str, keyring: Keyring, shop: int, reader: RouteReader
) -> None:
    rows = [old(1), old(2)]
    await take_over(dsn, keyring, shop, jsonl(*rows))
    async with connection(dsn) as conn:
        cur = await conn.execute("SELECT code, id FROM binding WHERE order_id = 'order-1'")
        row = await cur.fetchone()
        assert row is not None
        now = datetime.now(UTC)
        editor = BindingEditor(conn, keyring, shop, now=now, quarantine=timedelta(days=1))
        await editor.extend(*row, now + timedelta(days=30))
    with psycopg.connect(dsn, autocommit=True) as sync:
        sync.execute("UPDATE existing_route SET ends_at = now() - interval '2 days', free_at = now()")
        sync.execute("UPDATE existing_binding SET expires_at = now() - interval '2 days'")
        sync.execute("UPDATE binding SET released_at = now() WHERE order_id = 'order-2'")
    sweep(dsn, RetentionConfig(), pause_s=0)
    assert count(dsn, "SELECT count(*) FROM existing_route") == 2
    assert count(dsn, "SELECT count(*) FROM existing_binding") == 2
    assert reached(reader, rows[0]) == rows[0]["b"] and reached(reader, rows[1]) is None
    with psycopg.connect(dsn, autocommit=True) as sync:
        sync.execute("UPDATE existing_binding SET expires_at = now() - interval '200 days'")
        sync.execute(
            "UPDATE binding SET released_at = now() - interval '200 days' WHERE order_id = 'order-2'"
        )
    for _ in range(2):  # first the 700 binding goes, then the old one that it has taken the place of
        sweep(dsn, RetentionConfig(), pause_s=0)
    assert count(dsn, "SELECT count(*) FROM existing_binding") == 1


async def test_live_binds_beside_it_never_share_a_pair(dsn: str, keyring: Keyring, shop: int) -> None:
    """The same parties, bound and migrated at once, on few numbers: no (number, caller) serves two."""
    rows = [old(n, per_x=1, a="+8613800000001", b=f"+86139{n % 7:08d}") for n in range(300)]

    async def live() -> int:
        done = 0
        async with connection(dsn) as conn:
            for n in range(60):
                now, b = datetime.now(UTC), Msisdn(f"+86139{n % 7:08d}")
                parties = Parties.of(Mode.AXB, a=Msisdn("+8613800000001"), members=(), b=b)
                one = msgspec.structs.replace(item(expires_at=now + timedelta(days=1)), parties=parties)
                codes_ = [TenantCode(12345678, None, True)]
                (result,) = await bind_many(
                    conn, keyring, shop, codes_, [one], now=now, quarantine=timedelta(days=1)
                )
                done += isinstance(result, Bound)
        return done

    outcome, bound = await asyncio.gather(take_over(dsn, keyring, shop, jsonl(*rows)), live())
    assert (outcome.counts.moved, bound) == (300, 60)
    assert count(dsn, "SELECT count(*) FROM route") == 2 * 360
    assert count(dsn, "SELECT count(*) - count(DISTINCT (code, x)) FROM binding") == 0
