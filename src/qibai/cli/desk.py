"""Where commands have their acts done: `qibai.service`, on a connection of the command's own."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import typer

from qibai.cli.actor import actor_of
from qibai.cli.database import with_store
from qibai.cli.identity import prove
from qibai.cli.options import config_of
from qibai.cli.output import note
from qibai.config import Config
from qibai.service import desk as desks
from qibai.service.desk import Desk
from qibai.store.actors import Actor
from qibai.store.anchors import Witness
from qibai.store.connection import Connection
from qibai.store.keys import Keyring

T = TypeVar("T")


def perform(ctx: typer.Context, act: Callable[[Desk], Awaitable[T]], api_key: str | None = None) -> T:
    """Have the act done by whoever gave the command.

    ``api_key``: that of the person, where the act takes two persons; else the saved key. Raise what
    ``service.desk.perform`` raises, KeyFileError, Unauthenticated and SchemaError.
    """
    return perform_as(config_of(ctx), actor_of(ctx), act, api_key)


def perform_as(
    config: Config, actor: Actor, act: Callable[[Desk], Awaitable[T]], api_key: str | None = None
) -> T:
    """``perform`` for a known actor."""
    keyring = Keyring.load(config.key_file)
    witness = Witness.of(config, keyring, warn=note)

    async def work(conn: Connection) -> T:
        person = partial(prove, keyring=keyring, config=config, api_key=api_key)
        return await desks.perform(Desk(conn, actor, keyring, config, person), witness, act)

    return with_store(config, work)
