"""Commands that two persons answer for: here a name is not enough, an operator's API key has to prove it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, TypeVar

import typer

from qibai.cli import access
from qibai.cli.actor import actor_of
from qibai.cli.database import Connection, Record, with_acts
from qibai.cli.options import config_of
from qibai.config import Config
from qibai.core.errors import SecondPersonRequired, Unauthenticated
from qibai.store import audit, dual, tenants
from qibai.store.actors import Actor
from qibai.store.dual import Permit, Request, Wanted
from qibai.store.dual_rule import needed
from qibai.store.keys import Keyring

T = TypeVar("T")
PersonKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="QIBAI_API_KEY", help="Your own API key; else the saved one."),
]
Why = Annotated[str, typer.Option("--why", help="For whoever has to approve it.")]


async def prove(conn: Connection, keyring: Keyring, config: Config, api_key: str | None) -> Actor:
    """Whom the key (else the saved one) names. Raise Unauthenticated."""
    saved = access.load(config) if api_key is None else None
    bearer = api_key or (saved.api_key if saved else None)
    if bearer is None:
        raise Unauthenticated(
            "this takes two persons: give your operator's API key (--api-key, QIBAI_API_KEY or `qibai login`)"
        )
    parsed = tenants.parse_bearer(bearer)
    key = await tenants.find_key(conn, keyring, parsed[0]) if parsed else None
    if parsed is None or key is None or key.revoked_at is not None or not key.matches(parsed[1]):
        raise Unauthenticated
    return Actor(key.holder, key.kind, f"key:{key.id}", key.created_at)


def twofold(
    ctx: typer.Context,
    api_key: str | None,
    wanted: Wanted,
    work: Callable[[Connection, Record, Permit], Awaitable[T]],
) -> T:
    """``twofold_as`` for work that records by itself."""

    async def recording(conn: Connection, actor: Actor, permit: Permit) -> T:
        return await work(conn, partial(audit.record, conn, actor), permit)

    return twofold_as(ctx, api_key, wanted, recording)


def twofold_as(
    ctx: typer.Context,
    api_key: str | None,
    wanted: Wanted,
    work: Callable[[Connection, Actor, Permit], Awaitable[T]],
) -> T:
    """Do ``work`` in one transaction if another person has approved just what is wanted; else ask for it.

    Where one person is enough, the command's actor does it. Raise SecondPersonRequired after having asked,
    Unauthenticated, Forbidden.
    """
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)

    async def guarded(conn: Connection) -> T | Request:
        two = await needed(conn, keyring, wanted.action)
        one = await prove(conn, keyring, config, api_key) if two else actor_of(ctx)
        found = await dual.permit(conn, keyring, config.dual, one, wanted)
        if isinstance(found, Request):
            return found
        return await work(conn, one, found)

    result = with_acts(config, keyring, guarded)
    if isinstance(result, Request):
        raise SecondPersonRequired(
            f"another operator has to approve {result.id} first: qibai dual approve {result.id};"
            " then give the same command again"
        )
    return result
