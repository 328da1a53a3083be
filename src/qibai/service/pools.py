"""Pools of numbers: how many are free, and until when."""

from qibai.config import Config, PoolsConfig
from qibai.service.reach import Principal
from qibai.store import dsn, pools
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.hosts import connect
from qibai.store.poolcount import count_pools
from qibai.store.pools import Pool

__all__ = ["Pool", "count_now", "list_pools"]


async def list_pools(conn: Connection, config: PoolsConfig, who: Principal | None = None) -> list[Pool]:
    """Pools as they were counted last: those that ``who`` reaches, or all. Raise StoreUnavailable."""
    if who is None:
        return await pools.read(conn, config)
    return await pools.read(conn, config, tenant=who.tenant, platform=who.platform)


def count_now(config: Config) -> None:
    """Count all pools, though the recorder may have counted them a moment ago. Raise StoreUnavailable."""
    with (
        own_errors(),
        connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s, autocommit=True) as conn,
    ):
        count_pools(conn, config, force=True)
