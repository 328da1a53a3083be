"""Two nodes on one database, half a second ahead of it and half a second behind, and who asks them."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from binding_crowd import CODE
from node_tools import Node
from qibai.core.roles import Role
from qibai.store import codes, tenants
from qibai.store.keys import Keyring

QUARANTINE_S: Final = 2


@dataclass(frozen=True)
class World:
    nodes: list[Node]
    tenant_id: int
    tenant: str  #: its bearer key
    carrier: str  #: the same


@contextmanager
def two_nodes(dsn: str, keyring: Keyring, home: Path) -> Iterator[World]:
    """Both run; a tenant has a code, a carrier a key."""

    async def keys() -> tuple[int, str, str]:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            made = await tenants.add_tenant(conn, "acme")
            carrier = await tenants.add_tenant(conn, "carrier")
            await codes.add_codes(conn, [CODE], tenant_id=made.id)
            one = await tenants.add_key(conn, keyring, made.id, Role.TENANT)
            other = await tenants.add_key(conn, keyring, carrier.id, Role.NETWORK)
            return made.id, one.bearer, other.bearer

    tenant_id, tenant, carrier = asyncio.run(keys())
    nodes = [
        Node(home / name, dsn, keyring.path, ahead_s=ahead_s, quarantine_s=QUARANTINE_S)
        for name, ahead_s in (("ahead", 0.5), ("behind", -0.5))
    ]
    with ExitStack() as stack:
        for node in nodes:
            stack.enter_context(node)
        yield World(nodes, tenant_id, tenant, carrier)
