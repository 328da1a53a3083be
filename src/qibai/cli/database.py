"""Administrative commands use the store itself, not the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from qibai.config import Config
from qibai.core.errors import StoreUnavailable
from qibai.store import dsn
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.hosts import connect_or_say_why

T = TypeVar("T")


def with_store(config: Config, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run ``work`` on one connection, in one transaction. Raise StoreUnavailable or SchemaError."""
    return asyncio.run(_run(config, work))


async def _run(config: Config, work: Callable[[Connection], Awaitable[T]]) -> T:
    try:
        conn = await connect_or_say_why(
            dsn(config), connect_timeout_s=config.store.connect_timeout_s, application="qibai-cli"
        )
    except StoreUnavailable as exc:
        if not config.store.dsn and not config.pg_dir.exists():
            raise StoreUnavailable(
                f"{config.home} is no home of a platform: give --home or QIBAI_HOME, or run `qibai init`"
            ) from None
        raise StoreUnavailable(
            f"{exc.message}; start the platform with `qibai up`, or correct store.dsn"
        ) from None
    with own_errors():
        async with conn:
            return await work(conn)
