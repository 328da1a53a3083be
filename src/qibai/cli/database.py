"""Administrative commands use the store itself, not the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg

from qibai.config import Config
from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.store import dsn
from qibai.store.connection import Connection
from qibai.store.failures import why_not_connected

T = TypeVar("T")


def with_store(config: Config, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run ``work`` on one connection, in one transaction. Raise StoreUnavailable or SchemaError."""
    return asyncio.run(_run(config, work))


async def _run(config: Config, work: Callable[[Connection], Awaitable[T]]) -> T:
    try:
        conn = await psycopg.AsyncConnection.connect(
            dsn(config), connect_timeout=config.store.connect_timeout_s, application_name="qibai-cli"
        )
    except psycopg.OperationalError as exc:
        if not config.store.dsn and not config.pg_dir.exists():
            raise StoreUnavailable(
                f"{config.home} is no home of a platform: give --home or QIBAI_HOME, or run `qibai init`"
            ) from None
        raise StoreUnavailable(
            f"{why_not_connected(exc)}; start the platform with `qibai up`, or correct store.dsn"
        ) from None
    async with conn:
        try:
            return await work(conn)
        except psycopg.errors.UndefinedTable:
            raise SchemaError from None
