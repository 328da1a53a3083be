"""Administrative commands use the store itself, not the API."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import psycopg
import typer

from qibai.cli.actor import actor_of
from qibai.cli.options import config_of
from qibai.cli.output import note
from qibai.config import Config
from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.core.roles import Action
from qibai.core.trail import Point
from qibai.store import audit, dsn
from qibai.store.anchors import Witness
from qibai.store.audit import Actor
from qibai.store.failures import why_not_connected
from qibai.store.keys import Keyring

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]


class Record(Protocol):
    """``audit.record`` for whoever gave the command, on the connection at hand."""

    async def __call__(self, action: Action, subject: str, /, **details: Any) -> Point: ...


def act(ctx: typer.Context, work: Callable[[Connection, Record], Awaitable[T]]) -> T:
    """Run an administrative act in one transaction; ``work`` does it and then records it.

    Raise Forbidden, KeyFileError, StoreUnavailable or SchemaError.
    """
    return act_as(config_of(ctx), actor_of(ctx), work)


def act_as(config: Config, actor: Actor, work: Callable[[Connection, Record], Awaitable[T]]) -> T:
    """``act`` for a known actor."""
    keyring = Keyring.load(config.key_file)
    return with_acts(config, keyring, lambda conn: work(conn, partial(audit.record, conn, actor)))


def with_acts(config: Config, keyring: Keyring, work: Callable[[Connection], Awaitable[T]]) -> T:
    """``with_store`` for what is recorded in the audit trail, and anchored before it is said to be done.

    Raise AuditUnanchored as well: then nothing was done.
    """
    witness = Witness.of(config, keyring, warn=note)

    async def anchored(conn: Connection) -> T:
        async with audit.acts(conn, witness):
            return await work(conn)

    return with_store(config, anchored)


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
            f"{why_not_connected(exc)}; start the platform with `qibai up`, or mend store.dsn"
        ) from None
    async with conn:
        try:
            return await work(conn)
        except psycopg.errors.UndefinedTable:
            raise SchemaError from None
