"""Binds and calls ask the pilot's rules as they stand at that moment, whatever a worker remembers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from binding_tools import DAY, HOUR, NOW, connection, item, msisdn, value
from qibai.core.binding import Mode, Scene
from qibai.core.errors import PolicyRefused, QuotaExceeded, StepRefused, SubLease
from qibai.core.numbering import Code, parse_province
from qibai.core.pilot import CodeEvent, Rules
from qibai.core.routing import Refusal, RefusalReason, Route, decide
from qibai.store import resources, tenants
from qibai.store.bindings import BindingEditor, Bound, Entitlement, Idempotency, release
from qibai.store.keys import Keyring
from qibai.store.resources import Paper
from qibai.store.routes import RouteReader
from resource_tools import (
    FIRST,
    GRACE,
    GUANGDONG,
    LAST,
    QUARANTINE,
    RULES,
    SHANGHAI,
    Enterprise,
    enterprise,
    outcome,
    try_bind,
)

CODE = Code(12345678)
YEARS_END = date(2026, 12, 31)


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with connection(dsn) as one:
        yield one


async def test_a_revocation_stops_binds_at_once_and_calls_after_the_grace(
    conn: psycopg.AsyncConnection[Any], dsn: str, keyring: Keyring
) -> None:
    who = await enterprise(conn, "east", CODE.value)
    (answer,) = await try_bind(conn, keyring, who, item(1, 2))
    assert isinstance(answer, Bound)
    x = answer.binding.x
    reader = RouteReader(dsn, keyring)
    policy = reader.policy(RULES)

    def call(after: timedelta) -> object:
        at = (NOW + after).timestamp()
        return decide(x, msisdn(1), reader.find(x, msisdn(1)), at, policy=policy)

    assert isinstance(call(timedelta()), Route)
    await resources.revoke(conn, "approval", who.approval, at=NOW + HOUR, why="calls nobody ordered")
    assert await outcome(conn, keyring, who, now=NOW + HOUR - timedelta(seconds=1)) == "bound"
    assert await outcome(conn, keyring, who, now=NOW + HOUR) == "approval_revoked"
    assert isinstance(call(HOUR + GRACE - timedelta(seconds=1)), Route)
    assert call(HOUR + GRACE) == Refusal(RefusalReason.POLICY, "approval_revoked")
    reader.close()


async def test_a_bind_that_waits_for_a_revocation_is_refused_by_it(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as admin, connection(dsn) as binder:
        who = await enterprise(admin, "east", CODE.value)
        assert await outcome(binder, keyring, who) == "bound"
        async with admin.transaction():
            await resources.revoke(admin, "approval", who.approval, at=NOW, why="fraud")
            waiting = asyncio.create_task(outcome(binder, keyring, who))
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(10):
                while not await value(admin, blocked):  # noqa: ASYNC110  # the database tells nobody
                    await asyncio.sleep(0.01)
            assert not waiting.done()
        assert await waiting == "approval_revoked"


async def test_what_refused_is_read_anew_before_it_refuses_again(
    conn: psycopg.AsyncConnection[Any], keyring: Keyring
) -> None:
    await resources.add_platform(conn, "late")
    tenant = await tenants.add_tenant(conn, "late-shop")
    who = Enterprise("late", tenant.id, [CODE], Entitlement(tenant.id, RULES))
    assert await outcome(conn, keyring, who) == "no_codes"
    await resources.place_tenant(conn, tenant.name, "late")
    await resources.add_paper(conn, "certificate", "late", Paper(who.certificate, [GUANGDONG], FIRST, LAST))
    await resources.assign(conn, [CODE], who.certificate, now=NOW, quarantine=QUARANTINE)
    await resources.give(conn, [CODE], tenant.name, now=NOW)
    assert await outcome(conn, keyring, who) == "pilot_not_approved"
    await resources.add_paper(conn, "approval", "late", Paper(who.approval, [GUANGDONG], FIRST, LAST))
    assert await outcome(conn, keyring, who) == "code_not_open"
    await resources.open_(conn, [CODE], [GUANGDONG])
    assert await outcome(conn, keyring, who) == "bound"
    assert await outcome(conn, keyring, who, item(3, 4, province="44")) == "bound"
    assert await outcome(conn, keyring, who, item(5, 6, province="31")) == "no_code_for_province"
    await resources.set_aside(conn, [CODE], "the carrier does not carry it")
    assert await outcome(conn, keyring, who) == "code_locked"
    assert await outcome(conn, keyring, who, item(5, 6, province="44")) == "code_locked"
    await resources.restore(conn, [CODE])
    assert await outcome(conn, keyring, who) == "bound"


async def test_papers_cover_only_their_own_provinces_and_days(
    conn: psycopg.AsyncConnection[Any], keyring: Keyring
) -> None:
    who = await enterprise(
        conn, "south", CODE.value, provinces=(GUANGDONG,), days=(FIRST, date(2026, 12, 31))
    )
    await resources.open_(conn, who.codes, [SHANGHAI])  # by its carrier, but no paper is for it
    assert await outcome(conn, keyring, who, item(province="31")) == "no_code_for_province"
    eve = NOW.replace(year=2026, month=12, day=31, hour=15, minute=59, second=59)  # in Beijing: 23:59:59
    late = {"expires_at": eve + DAY}
    assert await outcome(conn, keyring, who, item(3, 4, **late), now=eve) == "bound"
    over = eve + timedelta(seconds=1)
    assert await outcome(conn, keyring, who, item(5, 6, **late), now=over) == "pilot_not_approved"
    await resources.renew(conn, "approval", who.approval, date(2027, 1, 31))
    await resources.renew(conn, "certificate", who.certificate, date(2027, 1, 31))
    assert await outcome(conn, keyring, who, item(5, 6, **late), now=over) == "bound"


async def test_numbers_are_never_handed_on(conn: psycopg.AsyncConnection[Any]) -> None:
    east = await enterprise(conn, "east", CODE.value)
    west = await enterprise(conn, "west", CODE.value + 1)
    with pytest.raises(SubLease):
        await resources.give(conn, east.codes, "west-shop", now=NOW)
    with pytest.raises(SubLease):
        await resources.assign(conn, east.codes, west.certificate, now=NOW, quarantine=QUARANTINE)
    with pytest.raises(SubLease):
        await resources.place_tenant(conn, "east-shop", "west")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):  # nor by hand in the database
        await conn.execute("UPDATE code SET tenant_id = %s WHERE code = %s", [west.tenant_id, CODE.value])


async def test_a_tenant_keeps_its_platform_as_long_as_its_bindings_are_kept(
    conn: psycopg.AsyncConnection[Any], keyring: Keyring
) -> None:
    east = await enterprise(conn, "east", CODE.value)
    await enterprise(conn, "west", CODE.value + 1)
    assert await outcome(conn, keyring, east) == "bound"
    await resources.drain(conn, east.codes)
    await resources.return_(conn, east.codes, now=NOW + timedelta(days=30))
    with pytest.raises(SubLease, match="bindings of this tenant"):
        await resources.place_tenant(conn, "east-shop", "west")
    await conn.execute("DELETE FROM binding")  # as the sweep does, after half a year
    await resources.place_tenant(conn, "east-shop", "west")


async def test_a_code_drains_returns_and_waits_before_it_is_used_again(
    conn: psycopg.AsyncConnection[Any], dsn: str, keyring: Keyring
) -> None:
    east, west = await enterprise(conn, "east", CODE.value), await enterprise(conn, "west")
    (answer,) = await try_bind(conn, keyring, east, item(expires_at=NOW + HOUR))
    await resources.drain(conn, [CODE])
    assert await outcome(conn, keyring, east, item(3, 4)) == "code_draining"
    reader = RouteReader(dsn, keyring)
    record = reader.find(answer.binding.x, msisdn(1))
    assert isinstance(
        decide(answer.binding.x, msisdn(1), record, NOW.timestamp(), policy=reader.policy(RULES)), Route
    )
    reader.close()
    for early in (NOW, NOW + HOUR, NOW + HOUR + QUARANTINE - timedelta(seconds=1)):
        with pytest.raises(StepRefused):
            await resources.return_(conn, [CODE], now=early)
    over = NOW + HOUR + QUARANTINE
    await resources.return_(conn, [CODE], now=over)
    assert await outcome(conn, keyring, east, now=over) == "no_codes"
    with pytest.raises(StepRefused):
        await resources.assign(conn, [CODE], west.certificate, now=over + DAY - HOUR, quarantine=DAY)
    await resources.assign(conn, [CODE], west.certificate, now=over + DAY, quarantine=DAY)
    await resources.give(conn, [CODE], "west-shop", now=over + DAY)
    assert await outcome(conn, keyring, west, now=over + DAY) == "code_not_open"
    await resources.open_(conn, [CODE], [GUANGDONG])
    later = item(expires_at=over + 2 * DAY)
    assert await outcome(conn, keyring, west, later, now=over + DAY) == "bound"


async def test_a_step_for_many_codes_is_taken_for_all_or_none(conn: psycopg.AsyncConnection[Any]) -> None:
    who = await enterprise(conn, "east", CODE.value, CODE.value + 1)
    await resources.drain(conn, [CODE])
    with pytest.raises(StepRefused, match=str(CODE)):
        await resources.drain(conn, who.codes)
    states = await value(conn, "SELECT array_agg(state ORDER BY code) FROM code")
    assert states == [CodeEvent.DRAIN + "ing", "in_use"]


async def test_a_locked_number_is_not_drawn_and_may_stop_calls(
    conn: psycopg.AsyncConnection[Any], dsn: str, keyring: Keyring
) -> None:
    who = await enterprise(conn, "east", CODE.value)
    (answer,) = await try_bind(conn, keyring, who, item(expected=CODE.number(5)))
    x = answer.binding.x
    reader = RouteReader(dsn, keyring)
    policy = reader.policy(RULES)

    def call() -> object:
        return decide(x, msisdn(1), reader.find(x, msisdn(1)), NOW.timestamp(), policy=policy)

    await resources.lock(conn, x, why="a complaint", at=NOW, stops_calls=False)
    assert isinstance(call(), Route)
    assert await outcome(conn, keyring, who, item(7, 8, expected=x)) == "number_locked"
    await resources.lock(conn, x, why="a complaint", at=NOW, stops_calls=True)
    assert call() == Refusal(RefusalReason.POLICY, "number_locked")
    await resources.unlock(conn, x)
    assert isinstance(call(), Route)
    reader.close()
    # All but two of the code are locked: these two are found, and then there are none.
    await conn.execute(
        "INSERT INTO number_lock SELECT %s, s, false, 'test' FROM generate_series(0, 9997) s", [CODE.value]
    )
    (answer,) = await try_bind(conn, keyring, who, item(7, 8, mode=Mode.AXYB))
    assert {answer.binding.x.serial, answer.binding.far.serial} == {9998, 9999}
    assert await outcome(conn, keyring, who, item(7, 8)) == "pool_exhausted"


async def test_a_quota_is_never_exceeded_by_concurrent_binds(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as admin:
        who = await enterprise(admin, "east", CODE.value)
        assert await outcome(admin, keyring, who, item(90, 91)) == "bound"
        await resources.set_quota(admin, "east-shop", 21, now=NOW)
        await resources.set_quota(admin, "east-shop", 4, now=NOW, scene=Scene.RIDE)

        async def worker(number: int) -> list[Any]:
            own = Enterprise(who.name, who.tenant_id, who.codes, Entitlement(who.tenant_id, RULES))
            async with connection(dsn) as conn:
                found = []
                for count in range(3):
                    first = 100 + number * 40 + count * 10
                    some = [item(first + 2 * i, first + 2 * i + 1) for i in range(5)]
                    found += await try_bind(conn, keyring, own, *some)
                return found

        answers = [one for some in await asyncio.gather(*(worker(n) for n in range(6))) for one in some]
        bound = [one for one in answers if isinstance(one, Bound)]
        assert len(bound) == 20  # and the one from before
        assert all(isinstance(one, QuotaExceeded) for one in answers if not isinstance(one, Bound))
        assert [q.used for q in await resources.list_quotas(admin, now=NOW)] == [21, 0]
        made = bound[0].binding
        await release(admin, keyring, who.tenant_id, made.code, made.id, now=NOW, quarantine=QUARANTINE)
        assert await outcome(admin, keyring, who, item(3000, 3001)) == "bound"
        assert await outcome(admin, keyring, who, item(3002, 3003)) == "quota_exceeded"


async def test_a_quota_counts_until_the_end_moves_with_it_and_forgets_what_was_not_bound(
    conn: psycopg.AsyncConnection[Any], keyring: Keyring
) -> None:
    who = await enterprise(conn, "east", CODE.value)
    await resources.set_quota(conn, "east-shop", 2, now=NOW, province=GUANGDONG)
    short = {"province": "44", "expires_at": NOW + HOUR}
    again = Idempotency(b"k" * 16, b"r" * 16)
    one = item(1, 2, idempotency=again, **short)
    (first,) = await try_bind(conn, keyring, who, one)
    assert await outcome(conn, keyring, who, item(3, 4, expected=first.binding.x, **short)) == "bound"
    assert await outcome(conn, keyring, who, item(5, 6, **short)) == "quota_exceeded"
    assert await outcome(conn, keyring, who, item(5, 6)) == "bound"  # of no province: not counted
    (replay,) = await try_bind(conn, keyring, who, one)
    assert replay.replayed and replay.binding.id == first.binding.id
    editor = BindingEditor(
        conn, keyring, who.tenant_id, now=NOW, quarantine=QUARANTINE, entitlement=who.entitlement
    )
    await editor.extend(first.binding.code, first.binding.id, NOW + DAY)
    later = {"province": "44", "expires_at": NOW + DAY}
    assert await outcome(conn, keyring, who, item(7, 8, **later), now=NOW + HOUR) == "bound"
    assert await outcome(conn, keyring, who, item(9, 10, **later), now=NOW + HOUR) == "quota_exceeded"
    await release(
        conn, keyring, who.tenant_id, first.binding.code, first.binding.id, now=NOW + HOUR, quarantine=HOUR
    )
    taken = item(11, 8, expected=first.binding.x, **later)
    assert await outcome(conn, keyring, who, taken, now=NOW + HOUR) == "bound"
    (quota,) = await resources.list_quotas(conn, now=NOW + HOUR)
    live = "SELECT count(*) FROM binding WHERE province = '44' AND released_at IS NULL AND expires_at > %s"
    assert quota.used == await value(conn, live, NOW + HOUR) == 2
    clash = item(11, 12, expected=first.binding.x, **later)
    await resources.set_quota(conn, "east-shop", 3, now=NOW + HOUR, province=GUANGDONG)
    assert await outcome(conn, keyring, who, clash, now=NOW + HOUR) == "number_taken"
    assert [q.used for q in await resources.list_quotas(conn, now=NOW + HOUR)] == [2]


async def test_a_binding_may_end_but_not_grow_where_nothing_new_may_be_bound(
    conn: psycopg.AsyncConnection[Any], keyring: Keyring
) -> None:
    who = await enterprise(conn, "east", CODE.value)
    (answer,) = await try_bind(conn, keyring, who, item(mode=Mode.GXB, members=(1, 3), b=2))
    code, id = answer.binding.code, answer.binding.id
    editor = BindingEditor(
        conn, keyring, who.tenant_id, now=NOW, quarantine=QUARANTINE, entitlement=who.entitlement
    )
    await editor.add_members(code, id, [msisdn(4)])
    await resources.leave_early(conn, who.approval, at=NOW)
    for growth in (
        editor.add_members(code, id, [msisdn(5)]),
        editor.change_party(code, id, b=msisdn(6)),
        editor.extend(code, id, NOW + 2 * DAY),
    ):
        with pytest.raises(PolicyRefused) as caught:
            await growth
        assert caught.value.rule == "pilot_exited"
        assert caught.value.document == "工信部信管函〔2025〕130号"
    await editor.extend(code, id, NOW + HOUR)
    await editor.remove_members(code, id, [msisdn(4)])


async def test_without_a_calendar_only_the_operators_own_acts_count(
    conn: psycopg.AsyncConnection[Any], dsn: str, keyring: Keyring
) -> None:
    tenant = await tenants.add_tenant(conn, "plain")
    who = Enterprise("plain", tenant.id, [CODE], Entitlement(tenant.id, Rules()))
    await conn.execute(
        "INSERT INTO code (code, tenant_id, province) VALUES (%s, %s, '44')", [CODE.value, tenant.id]
    )
    assert await outcome(conn, keyring, who, item(province="44")) == "bound"
    assert await outcome(conn, keyring, who, item(province="31")) == "no_code_for_province"
    await resources.open_(conn, [CODE], [parse_province("31")])
    assert await outcome(conn, keyring, who, item(3, 4, province="31")) == "bound"
    await resources.drain(conn, [CODE])
    assert await outcome(conn, keyring, who, item(5, 6)) == "code_draining"
