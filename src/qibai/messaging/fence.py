"""Whether this gateway may send: PostgreSQL has heard of it lately, and its messages are still its.

A gateway that was stopped, or cut off from PostgreSQL, for a minute may lose its messages to another node. It
must have stopped sending before, by a clock of its own: so it sends nothing once it was not heard for 30 s.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from qibai.core.errors import QibaiError, StoreUnavailable
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.keys import Keyring
from qibai.store.messages import beat, begin_node

BEAT_S: Final = 1.0
HOLDS_S: Final = 30.0  #: after the last beat that was heard; half of store.messages.nodes.SILENT_S

_log = structlog.get_logger("gateway")


def _now() -> float:
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """One per gateway."""

    def __init__(self, database: Connections, keyring: Keyring, node: str) -> None:
        self._database, self._keyring, self._node = database, keyring, node
        self._epoch = 0
        self._until = 0.0
        self._lost = False
        self.on_lost: Callable[[], None] = lambda: None

    @property
    def holds(self) -> bool:
        """Whether what is in memory may be sent just now."""
        return not self._lost and _now() < self._until

    def check(self) -> None:
        """Raise StoreUnavailable unless it holds."""
        if not self.holds:
            raise StoreUnavailable("another node may have this gateway's messages")

    async def begin(self) -> None:
        """From now on messages of the node are this gateway's. Raise StoreUnavailable."""
        asked = _now()
        self._epoch = await self._database.run(lambda conn: begin_node(conn, self._node))
        self._until = asked + HOLDS_S

    async def _beat(self, keys: dict[str, int], conn: Connection) -> bool:
        return await beat(conn, self._node, self._epoch, keys)

    async def run(self, stop: asyncio.Event) -> None:
        """Say each second that the gateway lives, until ``stop``."""
        halt = asyncio.create_task(stop.wait())
        while not stop.is_set():
            asked = _now()
            try:
                keys = self._keyring.newest_ids
                if not await self._database.run(partial(self._beat, keys)):
                    self._lost = True
                    _log.error("another node has taken this gateway's messages, or runs in its name")
                    self.on_lost()
                    break
                self._until = asked + HOLDS_S
            except QibaiError:  # the table's flusher tells of it
                pass
            await asyncio.wait({halt}, timeout=BEAT_S)
        halt.cancel()
