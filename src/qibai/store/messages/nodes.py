"""Which gateways live, what those that have fallen silent hold, and how it passes to another."""

from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from qibai.core.errors import BadRequest, Conflict
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.messages.model import CHANNEL
from qibai.store.statements import load

_SQL: Final = load("message_nodes")
SILENT_S: Final = 60.0  #: a gateway that was not seen for so long may lose its messages to another
ALIVE_S: Final = 10.0  #: whoever gets them was seen so lately


class SilentNode(NamedTuple):
    """A node whose gateway is silent, and what it holds."""

    node: str
    silent_s: float | None  #: None: it was never seen
    to_send: int
    to_hear_of: int  #: sent, and a receipt is awaited
    to_report: int  #: final, and their senders are to hear of it
    oldest: datetime

    @property
    def held(self) -> int:
        return self.to_send + self.to_hear_of + self.to_report


async def begin_node(conn: Connection, node: str) -> int:
    """A gateway begins: messages of the node are its now. Returns its epoch. Raise StoreUnavailable."""
    with own_errors():
        row = await (await conn.execute(_SQL["begin_node"], {"node": node})).fetchone()
    assert row is not None  # noqa: S101 - it is inserted or updated
    return int(row[0])


async def beat(conn: Connection, node: str, epoch: int, keys: dict[str, int]) -> bool:
    """The gateway lives, and ``keys`` are the newest that it has, by section.

    False: its messages were taken from it, or another runs in its name. Raise StoreUnavailable.
    """
    params = {"node": node, "epoch": epoch, "keys": Jsonb(keys)}
    with own_errors():
        return (await conn.execute(_SQL["beat"], params)).rowcount == 1


def nodes_without_key(conn: psycopg.Connection[Any], section: str, key: int, *, but: str) -> list[str]:
    """The other nodes whose gateways live and have not got that key, nor a newer. Raise StoreUnavailable."""
    params = {"section": section, "key": key, "but": but, "alive_s": ALIVE_S}
    with own_errors():
        return [node for (node,) in conn.execute(_SQL["without_key"], params).fetchall()]


def silent_nodes(conn: psycopg.Connection[Any]) -> list[SilentNode]:
    """Silent gateways that hold messages, whoever holds most first."""
    return [SilentNode(*row) for row in conn.execute(_SQL["silent_nodes"], {"silent_s": SILENT_S}).fetchall()]


async def take_over(conn: Connection, node: str, to: str) -> int:
    """Give all that a silent node holds to a living one; how many messages. In the caller's transaction.

    What it may have sent goes out at most once more. Raise BadRequest, Conflict or StoreUnavailable.
    """
    if node == to:
        raise BadRequest(f"{node} cannot take over its own messages; start its gateway", field="node")
    params = {"node": node, "to": to, "silent_s": SILENT_S, "alive_s": ALIVE_S}
    with own_errors():
        if await (await conn.execute(_SQL["is_alive"], params)).fetchone() is None:
            raise Conflict(f"no gateway runs on the node {to}: start it, or name another with --to")
        row = await (await conn.execute(_SQL["fence"], params)).fetchone()
        if row is None:
            raise BadRequest(f"there is no node {node} that holds messages", field="node")
        if not row[0]:
            raise Conflict(f"the gateway of {node} was seen within the last {SILENT_S:.0f} s: stop it first")
        count = (await conn.execute(_SQL["take_over"], params)).rowcount
        await conn.execute("SELECT pg_notify(%s, %s)", (CHANNEL, to))
    return count
