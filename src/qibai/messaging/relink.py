"""The links of a running gateway: started, stopped, and exchanged when the configuration changes."""

import asyncio
from collections.abc import Mapping

import structlog

from qibai.config import Config
from qibai.core.errors import QibaiError
from qibai.messaging.link import Inbox
from qibai.messaging.links import Factory, outlets
from qibai.messaging.outlets import Outlet, Outlets
from qibai.store.keys import Keyring

_log = structlog.get_logger("gateway")


class RunningLinks:
    """Runs each link of ``Outlets`` in a task of its own."""

    def __init__(self, found: Outlets, keyring: Keyring, factories: Mapping[str, Factory]) -> None:
        self._outlets = found
        self._keyring = keyring
        self._factories = factories
        self._running: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._failed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._inbox: Inbox

    async def run(self, inbox: Inbox, stop: asyncio.Event) -> None:
        """Run all links until ``stop``, or until one of them fails: then raise what it raised."""
        self._inbox = inbox
        for outlet in self._outlets:
            self._start(outlet)
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(self._failed.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        async with self._turn:
            await asyncio.gather(*[self._end(name) for name in list(self._running)])

    async def change(self, old: Config, new: Config) -> None:
        """Exchange the links that differ; the others keep their connections."""
        async with self._turn:
            try:
                made = outlets(new, self._keyring, self._factories)
            except QibaiError as exc:
                _log.error("links_not_taken_over", error=exc.message)
                return
            changed = _changed(old, new)
            kept = {outlet.link.name: outlet for outlet in self._outlets if outlet.link.name not in changed}
            await asyncio.gather(*[self._end(name) for name in list(self._running) if name in changed])
            self._outlets.put([kept.get(outlet.link.name, outlet) for outlet in made])
            for outlet in self._outlets:
                if outlet.link.name not in self._running:
                    self._start(outlet)

    def _start(self, outlet: Outlet) -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(outlet.link.run(self._inbox, stop))
        task.add_done_callback(self._note_failure)
        self._running[outlet.link.name] = task, stop

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed.set()

    async def _end(self, name: str) -> None:
        task, stop = self._running.pop(name)
        stop.set()
        await task


def _changed(old: Config, new: Config) -> set[str]:
    """Names of links that are to be stopped. Peers that bind to us share a port: they change together."""
    before = {link.name: link for link in old.messaging.links}
    after = {link.name: link for link in new.messaging.links}
    differ = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    servers = {
        one.protocol
        for links in (before, after)
        for name, one in links.items()
        if name in differ and one.role == "server"
    }
    together = [one.name for one in before.values() if one.role == "server" and one.protocol in servers]
    return differ.union(together)
