"""Tenants, API keys, nonces and codes."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from qibai.core.errors import Conflict, SchemaError, StoreUnavailable, TenantNotFound
from qibai.core.numbering import Code, parse_province
from qibai.store import codes, tenants
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as made:
        yield made


async def test_a_tenant_is_added_listed_disabled_and_enabled(conn: psycopg.AsyncConnection) -> None:
    first = await tenants.add_tenant(conn, "first")
    second = await tenants.add_tenant(conn, "second")
    assert await tenants.list_tenants(conn) == [first, second]
    disabled = await tenants.disable_tenant(conn, "first")
    assert disabled.disabled_at is not None
    assert await tenants.disable_tenant(conn, "first") == disabled
    assert await tenants.enable_tenant(conn, "first") == first == await tenants.find_tenant(conn, "first")


async def test_a_name_is_given_once(conn: psycopg.AsyncConnection) -> None:
    await tenants.add_tenant(conn, "one")
    with pytest.raises(Conflict):
        await tenants.add_tenant(conn, "one")


async def test_unknown_tenants_are_not_found(conn: psycopg.AsyncConnection, keyring: Keyring) -> None:
    for call in (tenants.find_tenant, tenants.disable_tenant, tenants.enable_tenant):
        with pytest.raises(TenantNotFound):
            await call(conn, "nobody")
    with pytest.raises(TenantNotFound):
        await tenants.add_key(conn, keyring, 99)
    with pytest.raises(TenantNotFound):
        await codes.add_codes(conn, [Code(1)], tenant_id=99)


async def test_a_key_fits_its_secret_only(conn: psycopg.AsyncConnection, keyring: Keyring) -> None:
    tenant = await tenants.add_tenant(conn, "one")
    new = await tenants.add_key(conn, keyring, tenant.id)
    assert tenants.parse_bearer(new.bearer) == (new.id, new.secret)
    assert new.secret not in repr(new)
    key = await tenants.find_key(conn, keyring, new.id)
    assert key is not None
    assert (key.tenant_id, key.tenant, key.tenant_disabled, key.revoked_at) == (tenant.id, "one", False, None)
    assert key.matches(new.secret)
    assert not key.matches(new.secret[:-1])
    assert key.signing_secret(keyring) == new.secret
    assert new.secret.encode() not in key.secret + key.digest
    assert await tenants.find_key(conn, keyring, "nokey") is None


async def test_disabling_and_revoking_show_on_the_key(
    conn: psycopg.AsyncConnection, keyring: Keyring
) -> None:
    tenant = await tenants.add_tenant(conn, "one")
    new = await tenants.add_key(conn, keyring, tenant.id)
    await tenants.disable_tenant(conn, "one")
    assert await tenants.revoke_key(conn, new.id)
    assert not await tenants.revoke_key(conn, "nokey")
    (key,) = await tenants.list_keys(conn, tenant.id)
    assert key.tenant_disabled
    assert key.revoked_at is not None


@pytest.mark.parametrize("text", ["", "qb", "qb_", "qb_a", "qb_a_", "xx_a_b", "qb__b", "qb_ä_b"])
def test_other_shapes_are_no_bearer_key(text: str) -> None:
    assert tenants.parse_bearer(text) is None


async def test_a_nonce_is_new_once_per_key(conn: psycopg.AsyncConnection) -> None:
    assert await tenants.remember_nonces(conn, [("k1", "n"), ("k2", "n")]) == [True, True]
    many = [("k1", "n"), ("k1", "m"), ("k1", "m"), ("k3", "n")]
    assert await tenants.remember_nonces(conn, many) == [False, True, False, True]


async def test_codes_are_assigned_once(conn: psycopg.AsyncConnection) -> None:
    one, two = [await tenants.add_tenant(conn, name) for name in ("one", "two")]
    guangdong = parse_province("广东")
    mine = [Code(12345678), Code(5)]
    assert await codes.add_codes(conn, mine, tenant_id=one.id, province=guangdong) == mine[::-1]
    assert await codes.add_codes(conn, [*mine, Code(6)], tenant_id=two.id) == [Code(6)]
    rows = await codes.list_codes(conn)
    assert [(str(row), row.tenant, row.province) for row in rows] == [
        ("70000000005", "one", "44"),
        ("70000000006", "two", None),
        ("70012345678", "one", "44"),
    ]
    assert await codes.list_codes(conn, tenant_id=two.id) == [rows[1]]
    assert [(c.code, c.enabled) for c in await codes.codes_of_tenant(conn, one.id)] == [
        (5, True),
        (12345678, True),
    ]


async def test_failures_have_our_names(conn: psycopg.AsyncConnection, dsn: str) -> None:
    with pytest.raises(StoreUnavailable), own_errors():
        await psycopg.AsyncConnection.connect(make_conninfo(dsn, host="/nonexistent"))
    await conn.execute("DROP SCHEMA public CASCADE")
    with pytest.raises(SchemaError):
        await tenants.list_tenants(conn)
    await conn.close()
    with pytest.raises(StoreUnavailable):
        await tenants.list_tenants(conn)
