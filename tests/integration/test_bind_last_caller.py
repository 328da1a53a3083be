"""A member calls, and at the same time leaves the group: B's calls must never reach a stranger."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from binding_tools import DAY, NOW, TENANT, bound, connection, item, msisdn, value
from qibai.core.binding import Mode
from qibai.core.numbering import Msisdn
from qibai.store.bindings import Binding, BindingEditor, release
from qibai.store.connection import Connection
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader

B, STAYS, LEAVES, NEW = (msisdn(n) for n in (2, 10, 11, 12))


async def _remove(conn: Connection, keyring: Keyring, one: Binding) -> object:
    return await _editor(conn, keyring).remove_members(one.code, one.id, [LEAVES])


async def _replace(conn: Connection, keyring: Keyring, one: Binding) -> object:
    return await _editor(conn, keyring).change_party(one.code, one.id, member=(LEAVES, NEW))


async def _release(conn: Connection, keyring: Keyring, one: Binding) -> object:
    return await release(conn, keyring, TENANT, one.code, one.id, now=NOW, quarantine=DAY)


def _editor(conn: Connection, keyring: Keyring) -> BindingEditor:
    return BindingEditor(conn, keyring, TENANT, now=NOW, quarantine=DAY)


def _reached(reader: RouteReader, one: Binding) -> Msisdn:
    """Whom B's row names, be it live or not."""
    record = reader.find(one.far, B)
    assert record is not None
    return reader.open_callee(record)


Leave = Callable[[Connection, Keyring, Binding], Awaitable[object]]
WAYS = pytest.mark.parametrize("leave", [_remove, _replace, _release])


@WAYS
async def test_a_call_is_noted_after_its_member_has_left(dsn: str, keyring: Keyring, leave: Leave) -> None:
    """The call was let through, then the member left, then the call is noted."""
    reader = RouteReader(dsn, keyring)
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(b=2, mode=Mode.GXYB, members=(10, 11)))
        record = reader.find(one.x, LEAVES)
        assert record is not None
        await leave(conn, keyring, one)
        reader.touch_group(record)
        assert _reached(reader, one) == STAYS
    reader.close()


@WAYS
async def test_a_call_is_noted_while_its_member_is_leaving(dsn: str, keyring: Keyring, leave: Leave) -> None:
    """The leaving is not committed when the call is to be noted: the one waits for the other."""
    reader = RouteReader(dsn, keyring, statement_timeout_ms=20_000)
    async with connection(dsn) as conn, connection(dsn) as watch:
        one = await bound(conn, keyring, item(b=2, mode=Mode.GXYB, members=(10, 11)))
        record = reader.find(one.x, LEAVES)
        assert record is not None
        async with conn.transaction():
            await leave(conn, keyring, one)
            noting = asyncio.create_task(asyncio.to_thread(reader.touch_group, record))
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(20):
                while not await value(watch, blocked):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await noting
        assert _reached(reader, one) == STAYS
    reader.close()
