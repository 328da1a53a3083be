"""A platform that ``qibai up`` runs, with callers and callees around it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from cli_tools import Cli, cli_in

from qibai.core.numbering import Code
from qibai.store import codes, dsn, tenants
from qibai.store.keys import Keyring
from qibai.testing.platform import free_port
from voice_tools import CALLEE_AT, CALLER_AT


@contextmanager
def platform_with_peers(folder: Path, **variables: str) -> Iterator[Cli]:
    """A home, not started yet, that knows where callers and callees are; ``variables`` configure it."""
    home = folder / "home"
    with cli_in(home, **variables) as cli:
        home.mkdir()
        cli.config.file.write_text(
            f'[[voice.peers]]\nname = "callees"\nhost = "{CALLEE_AT}"\nport = {free_port(CALLEE_AT)}\n'
            f'[[voice.peers]]\nname = "callers"\nhost = "{CALLER_AT}"\npriority = -1\n'
        )
        yield cli


def tenant_key(cli: Cli) -> str:
    """The bearer key of a new tenant that has a code."""

    async def make() -> str:
        keyring = Keyring.load(cli.config.key_file)
        async with await psycopg.AsyncConnection.connect(dsn(cli.config), autocommit=True) as conn:
            tenant = await tenants.add_tenant(conn, "one")
            # With a serial behind it, this code never reads as nine digits of a party, forwards or backwards.
            await codes.add_codes(conn, [Code(24681357)], tenant_id=tenant.id)
            return (await tenants.add_key(conn, keyring, tenant.id)).bearer

    return asyncio.run(make())
