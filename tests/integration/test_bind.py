"""Binding: what is occupied, what is refused, what a bad item does to its neighbours, and replays."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from binding_tools import (
    CODES,
    DAY,
    HOUR,
    NOW,
    STRAY_ROUTES,
    TENANT,
    assert_whole,
    bind,
    bound,
    connection,
    item,
    msisdn,
    value,
)
from qibai.core.binding import Mode, Status
from qibai.core.errors import (
    BindingNotFound,
    IdempotencyMismatch,
    NoCodeForProvince,
    NoCodes,
    NumberNotOwned,
    NumberTaken,
    PoolExhausted,
    StoreUnavailable,
)
from qibai.core.numbering import Code, Number700
from qibai.core.routing import Route, RouteRecord, decide
from qibai.store.bindings import (
    Bound,
    Idempotency,
    bindings_of_number,
    explain_number,
    get,
    release,
)
from qibai.store.codes import TenantCode
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader

EXPECTED = Number700(Code(CODES[0].code), 4321)


def lookup(reader: RouteReader, number: Number700, caller: int) -> RouteRecord | None:
    return reader.find(number, msisdn(caller))


@pytest.mark.parametrize("mode", Mode)
async def test_each_mode_connects_its_parties_and_shows_the_right_number(
    dsn: str, keyring: Keyring, mode: Mode
) -> None:
    reader = RouteReader(dsn, keyring)
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(mode=mode, members=(1, 3) if mode.is_group else ()))
        assert (one.y is None) == (not mode.has_y)
        for near in one.parties.near:
            decision = decide(one.x, near, reader.find(one.x, near), NOW.timestamp())
            assert isinstance(decision, Route)
            assert (reader.open_callee(decision.record), decision.record.shown) == (msisdn(2), one.far)
        back = decide(one.far, msisdn(2), lookup(reader, one.far, 2), NOW.timestamp())
        assert isinstance(back, Route)
        assert (reader.open_callee(back.record), back.record.shown) == (msisdn(1), one.x)
        assert (back.record.to_group, back.record.from_group) == (mode.is_group, False)
        read = await get(conn, keyring, TENANT, one.code, one.id)
        assert (read.parties, read.x, read.y, read.expires_at) == (one.parties, one.x, one.y, one.expires_at)
        assert await value(conn, "SELECT count(*) FROM route") == len(one.parties.near) + 1
        await assert_whole(conn)
    reader.close()


async def test_a_bad_item_leaves_its_neighbours_alone(dsn: str, keyring: Keyring) -> None:
    abroad = Number700(Code(99999999), 1)
    async with connection(dsn) as conn:
        answers = await bind(
            conn,
            keyring,
            item(1, 2, expected=EXPECTED),
            item(3, 4),
            item(1, 5, expected=EXPECTED),
            item(6, 7, expected=abroad),
            item(8, 9, province="11"),
            item(8, 9, province="31"),
            item(8, 9, province="31", expected=EXPECTED),
            item(10, 11, expected=EXPECTED),
        )
        kinds = [Bound, Bound, NumberTaken, NumberNotOwned, NoCodeForProvince, Bound, NumberNotOwned, Bound]
        assert [type(answer) for answer in answers] == kinds
        assert (answers[0].binding.x, answers[7].binding.x) == (EXPECTED, EXPECTED)
        assert answers[5].binding.code == CODES[1].code
        assert await value(conn, "SELECT count(*) FROM binding") == 4
        await assert_whole(conn)


async def test_without_an_open_code_nothing_is_bound(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        closed = [TenantCode(1, "44", False)]
        assert [type(a) for a in await bind(conn, keyring, item(), codes=closed)] == [NoCodes]


async def test_the_expected_number_decides_between_y_and_taken(dsn: str, keyring: Keyring) -> None:
    """With a Y to choose, only X may be the reason for a refusal."""
    async with connection(dsn) as conn:
        first = await bound(conn, keyring, item(1, 2, mode=Mode.AXYB, expected=EXPECTED))
        assert first.x == EXPECTED
        (taken,) = await bind(conn, keyring, item(1, 3, mode=Mode.AXYB, expected=EXPECTED))
        assert isinstance(taken, NumberTaken)
        await assert_whole(conn)


async def test_no_real_number_repeats_among_the_bindings_of_a_number(dsn: str, keyring: Keyring) -> None:
    """A party that dials X in one binding is not put behind X in another, in whatever role."""
    async with connection(dsn) as conn:
        await bound(conn, keyring, item(1, 2, expected=EXPECTED))
        for again in (
            item(3, 1, mode=Mode.AXYB, expected=EXPECTED),
            item(2, 3, mode=Mode.AXYB, expected=EXPECTED),
            item(3, 2, expected=EXPECTED),
            item(1, 3, expected=EXPECTED),
        ):
            (answer,) = await bind(conn, keyring, again)
            assert isinstance(answer, NumberTaken)
        await bound(conn, keyring, item(3, 4, expected=EXPECTED))
        await assert_whole(conn)


async def test_a_batch_repeats_no_real_number_on_a_number(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        items = [item(1, 100 + n, mode=Mode.AXYB) for n in range(300)]
        items += [item(200 + n, 1, mode=Mode.AXYB) for n in range(300)]
        answers = await bind(conn, keyring, *items, codes=CODES[:1])
        assert all(isinstance(answer, Bound) for answer in answers)
        of_one = [n for a in answers for n in (a.binding.x, a.binding.y)]
        assert len(set(of_one)) == len(of_one) == 1200
        await assert_whole(conn)


async def test_sticky_parties_get_their_numbers_again_when_free(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        first = await bound(conn, keyring, item(mode=Mode.AXYB, sticky=True))
        other = await bound(conn, keyring, item(mode=Mode.AXYB, sticky=True))
        assert {first.x, first.y}.isdisjoint({other.x, other.y})
        for one in (first, other):
            await release(conn, keyring, TENANT, one.code, one.id, now=NOW, quarantine=DAY)
        later = NOW + DAY
        again = await bound(
            conn, keyring, item(mode=Mode.AXYB, sticky=True, expires_at=later + DAY), now=later
        )
        assert (again.x, again.y) == (first.x, first.y)
        await assert_whole(conn)


async def test_a_pair_in_quarantine_is_not_given_out(dsn: str, keyring: Keyring) -> None:
    reader = RouteReader(dsn, keyring)
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(expected=EXPECTED, expires_at=NOW + HOUR))
        wanted = item(1, 3, expected=EXPECTED, expires_at=NOW + 9 * DAY)
        second = timedelta(seconds=1)
        for instant in (NOW + HOUR, NOW + HOUR + DAY - second):
            (answer,) = await bind(conn, keyring, wanted, now=instant)
            assert isinstance(answer, NumberTaken)
        record = lookup(reader, EXPECTED, 1)
        assert record is not None
        assert record.ends_at == (NOW + HOUR).timestamp()
        assert one.status(NOW + HOUR - second / 1000) is Status.ACTIVE
        assert one.status(NOW + HOUR) is Status.EXPIRED
        two = await bound(conn, keyring, wanted, now=NOW + HOUR + DAY)
        record = lookup(reader, EXPECTED, 1)
        assert record is not None
        assert record.binding_id == two.id
    reader.close()


async def test_the_same_request_binds_once(dsn: str, keyring: Keyring) -> None:
    key = Idempotency(b"k" * 32, b"r" * 32)
    async with connection(dsn) as conn:
        one, two, other = await bind(
            conn,
            keyring,
            item(idempotency=key),
            item(idempotency=key),
            item(9, 8, idempotency=Idempotency(key.key, b"s" * 32)),
        )
        assert (one.replayed, two.replayed) == (False, True)
        assert two.binding.id == one.binding.id
        assert two.binding.parties == one.binding.parties
        assert isinstance(other, IdempotencyMismatch)
        (elsewhere,) = await bind(conn, keyring, item(idempotency=key), tenant=TENANT + 1)
        assert not elsewhere.replayed
        await assert_whole(conn)


async def test_the_same_request_from_many_connections_binds_once(dsn: str, keyring: Keyring) -> None:
    key = Idempotency(b"k" * 32, b"r" * 32)

    async def one() -> Bound:
        async with connection(dsn) as conn:
            (answer,) = await bind(conn, keyring, item(idempotency=key))
        assert isinstance(answer, Bound)
        return answer

    answers = await asyncio.gather(*(one() for _ in range(12)))
    assert len({answer.binding.id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1


async def test_a_refused_item_leaves_its_idempotency_key_unused(dsn: str, keyring: Keyring) -> None:
    key = Idempotency(b"k" * 32, b"r" * 32)
    async with connection(dsn) as conn:
        first = await bound(conn, keyring, item(expected=EXPECTED))
        wanted = item(1, 3, expected=EXPECTED, idempotency=key)
        assert isinstance((await bind(conn, keyring, wanted))[0], NumberTaken)
        gone = timedelta(0)
        await release(conn, keyring, TENANT, first.code, first.id, now=NOW, quarantine=gone)
        (answer,) = await bind(conn, keyring, wanted)
        assert isinstance(answer, Bound)
        assert not answer.replayed


async def test_a_tenant_sees_only_its_own(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item())
        with pytest.raises(BindingNotFound):
            await get(conn, keyring, TENANT + 1, one.code, one.id)
        with pytest.raises(BindingNotFound):
            await release(conn, keyring, TENANT + 1, one.code, one.id, now=NOW, quarantine=DAY)


async def test_a_number_tells_its_live_and_recent_bindings(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(1, 2, expected=EXPECTED))
        two = await bound(conn, keyring, item(3, 4, expected=EXPECTED))
        await release(conn, keyring, TENANT, one.code, one.id, now=NOW, quarantine=HOUR)
        assert {b.id for b in await bindings_of_number(conn, keyring, EXPECTED, NOW)} == {one.id, two.id}
        later = NOW + HOUR
        assert [b.id for b in await bindings_of_number(conn, keyring, EXPECTED, later)] == [two.id]
        pairs = await explain_number(conn, keyring, EXPECTED, later)
        assert {(pair.caller, pair.callee) for pair in pairs} == {
            (msisdn(3), msisdn(4)),
            (msisdn(4), msisdn(3)),
        }


async def test_a_connection_killed_midway_leaves_nothing_half_bound(dsn: str, keyring: Keyring) -> None:
    """The server cuts the session off while rows are written: the bulk is there as a whole, or not at all."""
    async with connection(dsn) as admin:
        for wanted in (1, 3):
            victim = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            pid = victim.info.backend_pid
            # the last binding of the bulk waits for this lock, with all rows before it written
            async with connection(dsn) as blocker, blocker.transaction():
                await blocker.execute("LOCK TABLE binding IN EXCLUSIVE MODE")
                bulk = asyncio.create_task(
                    bind(victim, keyring, *(item(n, n + 500) for n in range(wanted * 100)))
                )
                waiting = sql.SQL("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {}")
                async with asyncio.timeout(20):
                    while not await value(admin, waiting.format(pid).as_string()):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await admin.execute("SELECT pg_terminate_backend(%s)", [pid])
                with pytest.raises(StoreUnavailable):
                    await bulk
            await victim.close()
            assert await value(admin, "SELECT count(*) FROM route") == 0
            assert await value(admin, STRAY_ROUTES) == 0


async def test_a_full_pool_says_so(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        answers = await bind(conn, keyring, *(item(1, 2 + n) for n in range(10_001)), codes=CODES[:1])
        assert sum(isinstance(answer, Bound) for answer in answers) == 10_000
        assert sum(isinstance(answer, PoolExhausted) for answer in answers) == 1
        numbers = {answer.binding.x for answer in answers if isinstance(answer, Bound)}
        assert len(numbers) == 10_000
        await bound(conn, keyring, item(1, 2), codes=CODES)
        await assert_whole(conn)
