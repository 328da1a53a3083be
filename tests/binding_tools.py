"""What the tests of bindings share: connections, parties, and what must always hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from qibai.core.binding import Mode, Parties, Scene
from qibai.core.numbering import Msisdn
from qibai.store.bindings import Binding, BindItem, Bound, bind_many
from qibai.store.codes import TenantCode
from qibai.store.keys import Keyring

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
CODES = [TenantCode(12345678, "44", True), TenantCode(12345679, "31", True)]
TENANT = 7


def msisdn(number: int) -> Msisdn:
    return Msisdn(f"+86138{number:08d}")


def item(
    a: int = 1,
    b: int = 2,
    *,
    mode: Mode = Mode.AXB,
    members: tuple[int, ...] = (),
    expires_at: datetime = NOW + DAY,
    **more: Any,
) -> BindItem:
    parties = Parties.of(
        mode,
        a=None if mode.is_group else msisdn(a),
        members=[msisdn(m) for m in members],
        b=msisdn(b),
    )
    return BindItem(
        parties=parties, scene=Scene.FOOD, order_id="o-1", max_call_s=3600, expires_at=expires_at, **more
    )


@asynccontextmanager
async def connection(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        yield conn


async def bind(
    conn: psycopg.AsyncConnection[Any],
    keyring: Keyring,
    *items: BindItem,
    codes: list[TenantCode] = CODES,
    now: datetime = NOW,
    tenant: int = TENANT,
    quarantine: timedelta = DAY,
) -> list[Any]:
    return list(await bind_many(conn, keyring, tenant, codes, items, now=now, quarantine=quarantine))


async def bound(conn: psycopg.AsyncConnection[Any], keyring: Keyring, one: BindItem, **how: Any) -> Binding:
    """The binding of one item that must succeed."""
    (answer,) = await bind(conn, keyring, one, **how)
    assert isinstance(answer, Bound), answer
    return answer.binding


async def value(conn: psycopg.AsyncConnection[Any], query: str, *params: Any) -> Any:
    row = await (await conn.execute(query, params or None)).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


HALF_BOUND = """
SELECT count(*) FROM binding b
LEFT JOIN (SELECT code, binding_id, ends_at, count(*) AS pairs FROM route GROUP BY 1, 2, 3) r
    ON r.code = b.code AND r.binding_id = b.id AND r.ends_at = b.expires_at
WHERE released_at IS NULL AND b.expires_at > %s
    AND coalesce(pairs, 0) <> coalesce(cardinality(members), 1) + 1
"""
STRAY_ROUTES = """
SELECT count(*) FROM route r
WHERE NOT EXISTS (SELECT FROM binding b WHERE b.code = r.code AND b.id = r.binding_id)
"""


async def assert_whole(conn: psycopg.AsyncConnection[Any], now: datetime = NOW) -> None:
    """No live binding without its routes, no route without its binding."""
    assert await value(conn, HALF_BOUND, now) == 0
    assert await value(conn, STRAY_ROUTES) == 0
