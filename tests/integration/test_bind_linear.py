"""Changes and releases of one binding at the same moment: what reads as over has no live route."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from binding_tools import CODES, DAY, HOUR, TENANT, connection, item, msisdn, value
from qibai.core.binding import Mode, Status
from qibai.core.errors import BindingEnded, QibaiError
from qibai.core.routing import Refusal, decide
from qibai.store.bindings import BindingEditor, bind_many, get, release
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader

LIVE = "SELECT count(*) FROM route WHERE code = %s AND binding_id = %s AND ends_at > clock_timestamp()"


@pytest.mark.parametrize("mode", [Mode.AXB, Mode.GXYB])
async def test_a_release_beside_a_change_leaves_no_live_route(dsn: str, keyring: Keyring, mode: Mode) -> None:
    async with connection(dsn) as one, connection(dsn) as two:
        for turn in range(40):
            wanted = item(
                1000 + turn,
                2,
                mode=mode,
                members=(3000 + turn,) if mode.is_group else (),
                expires_at=datetime.now(UTC) + DAY,
            )
            (made,) = await bind_many(one, keyring, TENANT, CODES, [wanted], quarantine=DAY)
            assert not isinstance(made, QibaiError), made
            code, id = made.binding.code, made.binding.id
            editor = BindingEditor(one, keyring, TENANT, quarantine=DAY)
            change = (
                editor.add_members(code, id, [msisdn(5000 + turn)])
                if mode.is_group
                else editor.change_party(code, id, a=msisdn(5000 + turn))
            )
            changed, released = await asyncio.gather(
                change, release(two, keyring, TENANT, code, id, quarantine=DAY), return_exceptions=True
            )
            assert changed is None or isinstance(changed, BindingEnded) or changed.id == id  # type: ignore[union-attr]
            assert not isinstance(released, BaseException), released
            assert (await get(two, keyring, TENANT, code, id)).released_at == released.ended_at
            assert await value(two, LIVE, code, id) == 0
            again = await release(one, keyring, TENANT, code, id, quarantine=DAY)
            assert again == released


async def test_the_clocks_of_the_processes_decide_nothing(dsn: str, keyring: Keyring) -> None:
    """A release that waits for a change takes its time after the change, whoever began first."""
    async with connection(dsn) as one, connection(dsn) as two, connection(dsn) as three:
        wanted = item(1, 2, expires_at=datetime.now(UTC) + DAY)
        (made,) = await bind_many(one, keyring, TENANT, CODES, [wanted], quarantine=DAY)
        assert not isinstance(made, QibaiError), made
        code, id = made.binding.code, made.binding.id
        async with one.transaction():
            await one.execute("SELECT FROM binding WHERE code = %s AND id = %s FOR UPDATE", [code, id])
            waiting = asyncio.create_task(release(two, keyring, TENANT, code, id, quarantine=DAY))
            while not await value(  # noqa: ASYNC110  # what is waited for is in the database
                three, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.005)
            held_until = await value(three, "SELECT clock_timestamp()")
        ended = await waiting
        assert ended.status is Status.RELEASED
        assert ended.ended_at >= held_until


async def test_a_release_ends_the_routes_that_stand_under_another_key(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        wanted = item(1, 2, expires_at=datetime.now(UTC) + HOUR)
        (made,) = await bind_many(conn, keyring, TENANT, CODES, [wanted], quarantine=DAY)
        assert not isinstance(made, QibaiError), made
        code, id = made.binding.code, made.binding.id
        await conn.execute(
            "UPDATE route SET caller_key = sha256(caller_key) WHERE code = %s AND binding_id = %s", [code, id]
        )
        await release(conn, keyring, TENANT, code, id, quarantine=DAY)
        assert await value(conn, LIVE, code, id) == 0


async def test_what_an_act_has_ended_is_over_by_every_clock(dsn: str, keyring: Keyring) -> None:
    """A clock that is set back, or another server's, lets nobody be called again."""
    async with connection(dsn) as conn:
        (left, released) = await bind_many(
            conn,
            keyring,
            TENANT,
            CODES,
            [item(number, number + 1, expires_at=datetime.now(UTC) + DAY) for number in (11, 21)],
            quarantine=DAY,
        )
        assert not isinstance(left, QibaiError) and not isinstance(released, QibaiError)
        one, two = left.binding, released.binding
        await BindingEditor(conn, keyring, TENANT, quarantine=DAY).change_party(
            one.code, one.id, a=msisdn(99)
        )
        await release(conn, keyring, TENANT, two.code, two.id, quarantine=DAY)
    reader = RouteReader(dsn, keyring)
    try:
        back = time.time() - 7_200
        for called, caller in ((one.x, msisdn(11)), (two.x, msisdn(21)), (two.x, msisdn(22))):
            record = reader.find(called, caller)
            assert record is not None
            in_use = reader.number_in_use(called, back)
            decision = decide(called, caller, record, back, number_in_use=in_use)
            assert isinstance(decision, Refusal), decision
        assert not reader.number_in_use(two.x, back)
    finally:
        reader.close()
