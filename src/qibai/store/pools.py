"""Figures of pools as they were counted last, with what they lead to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg

from qibai.config import PoolsConfig
from qibai.core.pools import Alert, Figure, alert, exhausted_at
from qibai.store.failures import own_errors
from qibai.store.statements import load

_SQL: Final = load("pools")


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One pool; ``province`` (two digits) and ``scene`` are None for all of them together.

    ``tenant`` None: codes of no tenant. ``exhausted_at``: when no number is free at the present trend, of all
    scenes together; None: not in sight.
    """

    at: datetime
    platform: str | None
    tenant: str | None
    province: str | None
    scene: str | None
    total: int
    free: int
    bound: int
    quarantined: int
    locked: int
    exhausted_at: datetime | None
    alert: Alert | None


def read_sync(conn: psycopg.Connection[Any], config: PoolsConfig) -> list[Pool]:
    """All pools; none as long as nothing was counted. Raise StoreUnavailable, SchemaError."""
    with own_errors():
        return _pools(conn.execute(_SQL["latest"], _params(config, None, None)).fetchall(), config)


async def read(
    conn: psycopg.AsyncConnection[Any],
    config: PoolsConfig,
    *,
    tenant: int | None = None,
    platform: int | None = None,
) -> list[Pool]:
    """The pools of one tenant, of the tenants of one application platform, or all. Raise as ``read_sync``."""
    with own_errors():
        cur = await conn.execute(_SQL["latest"], _params(config, tenant, platform))
        return _pools(await cur.fetchall(), config)


def _params(config: PoolsConfig, tenant: int | None, platform: int | None) -> dict[str, int | None]:
    return {"hours": config.trend_hours, "tenant": tenant, "platform": platform}


def _pools(rows: Sequence[Sequence[Any]], config: PoolsConfig) -> list[Pool]:
    return [_pool(row, config) for row in rows]


def _pool(row: Sequence[Any], config: PoolsConfig) -> Pool:
    at, tenant, platform, province, scene, *numbers, ats, used = row
    figure = Figure(*numbers)
    ends, what = None, None
    if not scene:  # free numbers are for all scenes
        now = at.timestamp()
        ends = exhausted_at(list(zip(ats or (), used or (), strict=True)), figure.free, now)
        horizon = config.horizon_days * 86_400.0
        what = alert(figure, ends, now, low=config.low_percent / 100, horizon_s=horizon) if tenant else None
        ends = None if ends is None or ends > now + 3_650 * 86_400 else ends
    return Pool(
        at=at.astimezone(UTC),
        platform=platform or None,
        tenant=tenant or None,
        province=province or None,
        scene=scene or None,
        total=figure.total,
        free=figure.free,
        bound=figure.bound,
        quarantined=figure.quarantined,
        locked=figure.locked,
        exhausted_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
        alert=what,
    )
