"""A server that takes no writes (it is a standby now) is away: nothing is refused or lost for it."""

from datetime import UTC, datetime

import pytest

from binding_tools import CODES, DAY, TENANT, item
from qibai.core.errors import StoreUnavailable
from qibai.store.bindings import bind_many, release
from qibai.store.connections import Connections
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring

READ_ONLY = "SET default_transaction_read_only = on"


async def test_writes_on_a_read_only_server_drop_the_connection(dsn: str, keyring: Keyring) -> None:
    connections = Connections(dsn, 1)
    wanted = item(1, 2, expires_at=datetime.now(UTC) + DAY)
    with pytest.raises(StoreUnavailable):
        async with connections.get() as conn:
            await conn.execute(READ_ONLY)
            await bind_many(conn, keyring, TENANT, CODES, [wanted], quarantine=DAY)
    assert conn.closed
    async with connections.get() as conn:  # a new connection, which takes writes
        (made,) = await bind_many(conn, keyring, TENANT, CODES, [wanted], quarantine=DAY)
    code, id = made.binding.code, made.binding.id  # type: ignore[union-attr]
    with pytest.raises(StoreUnavailable):
        async with connections.get() as conn:
            await conn.execute(READ_ONLY)
            await release(conn, keyring, TENANT, code, id, quarantine=DAY)
    assert conn.closed
    async with connections.get() as conn:
        await release(conn, keyring, TENANT, code, id, quarantine=DAY)
    await connections.close()


async def test_the_driver_s_error_of_a_read_only_server_is_no_answer(dsn: str) -> None:
    connections = Connections(dsn, 1)
    with pytest.raises(StoreUnavailable):
        async with connections.get() as conn:
            await conn.execute(READ_ONLY)
            with own_errors():
                await conn.execute("INSERT INTO tenant (name) VALUES ('t')")
    await connections.close()
