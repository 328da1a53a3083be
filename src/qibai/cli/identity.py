"""Commands that two persons answer for: here a name is not enough, an operator's API key has to prove it."""

from typing import Annotated

import typer

from qibai.cli import login
from qibai.config import Config
from qibai.core.errors import Unauthenticated
from qibai.store import tenants
from qibai.store.actors import Actor
from qibai.store.connection import Connection
from qibai.store.keys import Keyring

PersonKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="QIBAI_API_KEY", help="Your own API key; else the saved one."),
]
Why = Annotated[str, typer.Option("--why", help="For whoever has to approve it.")]


async def prove(conn: Connection, keyring: Keyring, config: Config, api_key: str | None) -> Actor:
    """Whom the key (else the saved one) names. Raise Unauthenticated."""
    saved = login.load(config) if api_key is None else None
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
