"""Tenants' policies for the text of messages: kept, versioned, and refused when they cannot be followed."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from qibai.core.content import DEFAULT_POLICY, ContentPolicy, Hook, NumbersInText, OnTimeout
from qibai.core.errors import BadRequest
from qibai.store import tenants
from qibai.store.keys import Keyring
from qibai.store.message_policy import get_policy, set_policy
from qibai.store.standing import read_version

ASKING = ContentPolicy(
    NumbersInText.BLOCK, Hook.ASK, "https://shop.example/check?v=1", 500, OnTimeout.CONTINUE
)


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as made:
        yield made


@pytest.fixture
async def tenant(conn: psycopg.AsyncConnection) -> int:
    return (await tenants.add_tenant(conn, "shop")).id


async def test_a_tenant_that_set_none_has_the_default(conn: psycopg.AsyncConnection, tenant: int) -> None:
    assert (await get_policy(conn, tenant)).policy == DEFAULT_POLICY
    assert DEFAULT_POLICY.reads_text


async def test_a_policy_is_kept_and_counts_up_the_version(
    conn: psycopg.AsyncConnection, keyring: Keyring, tenant: int
) -> None:
    before = await read_version(conn)
    secret = await set_policy(conn, keyring, tenant, ASKING)
    assert (await get_policy(conn, tenant)).policy == ASKING
    assert await read_version(conn) > before
    other = await tenants.add_tenant(conn, "other")
    assert (await get_policy(conn, other.id)).policy == DEFAULT_POLICY
    assert secret.startswith("whsec_")


async def test_the_secret_stays_until_a_new_one_is_wanted(
    conn: psycopg.AsyncConnection, keyring: Keyring, tenant: int
) -> None:
    first = await set_policy(conn, keyring, tenant, ASKING)
    assert await set_policy(conn, keyring, tenant, DEFAULT_POLICY) == first
    second = await set_policy(conn, keyring, tenant, ASKING, new_secret=True)
    assert second != first
    stored = (await get_policy(conn, tenant)).secret
    assert second.encode() not in stored


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (ContentPolicy(hook=Hook.ASK), "url"),
        (ContentPolicy(url="http://shop.example/"), "url"),
        (ContentPolicy(url="file:///etc/passwd"), "url"),
        (ContentPolicy(url="https://user:word@shop.example/"), "url"),
        (ContentPolicy(url="https://shop.example:99999/"), "url"),
        (ContentPolicy(url="https:///path"), "url"),
        (ContentPolicy(url="https://shop.example/ä"), "url"),
        (ContentPolicy(url="https://shop.example/\r\nX: y"), "url"),
        (ContentPolicy(url="https://shop.example/" + "a" * 2000), "url"),
        (ContentPolicy(timeout_ms=50), "timeout_ms"),
        (ContentPolicy(timeout_ms=60_000), "timeout_ms"),
    ],
)
async def test_what_cannot_be_followed_is_refused_and_changes_nothing(
    conn: psycopg.AsyncConnection, keyring: Keyring, tenant: int, policy: ContentPolicy, field: str
) -> None:
    await set_policy(conn, keyring, tenant, ASKING)
    with pytest.raises(BadRequest) as found:
        await set_policy(conn, keyring, tenant, policy)
    assert found.value.field == field
    assert (await get_policy(conn, tenant)).policy == ASKING
