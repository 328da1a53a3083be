"""``qibai gateway``: text messages between carriers, in one process a node."""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import structlog
import uvloop

from qibai.config import Config
from qibai.core.errors import QibaiError
from qibai.messaging import stats
from qibai.messaging.content import ContentRules
from qibai.messaging.dispatch import Dispatcher
from qibai.messaging.fence import Fence
from qibai.messaging.inbox import Gate
from qibai.messaging.joins import Joins
from qibai.messaging.journal import Journal
from qibai.messaging.links import FACTORIES, Factory, outlets
from qibai.messaging.outlets import Outlets
from qibai.messaging.relink import RunningLinks
from qibai.messaging.reports import Reporter
from qibai.messaging.rows import Rows
from qibai.messaging.rules import Rules
from qibai.messaging.schedule import Clock
from qibai.messaging.stats import Stats
from qibai.messaging.table import Table
from qibai.service.decision import Decider
from qibai.settings.live import LiveConfig
from qibai.store import dsn, messages
from qibai.store.connections import Connections, heard, listening
from qibai.store.keys import Keyring
from qibai.store.messages import CHANNEL

RETRY_S: Final = 0.5
LISTEN_S: Final = 5.0

_log = structlog.get_logger("gateway")


class Gateway:
    """The parts, put together."""

    def __init__(self, config: Config, factories: Mapping[str, Factory] = FACTORIES) -> None:
        """Raise ConfigError or KeyFileError. ``factories``: makers of links, as for tests."""
        messaging = config.messaging
        config.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._config = config
        self._keyring = Keyring.load(config.key_file)
        self._outlets = Outlets(outlets(config, self._keyring, factories))
        self._links = RunningLinks(self._outlets, self._keyring, factories)
        self._journal = Journal(config.spool_dir / "messages")
        self._looking = self._connection("look-up")
        self._taking = self._connection("")
        self._keeping = self._connection("progress")
        self._joining = self._connection("joins")
        self._decider = Decider(config, Keyring.load(config.key_file))
        keep_text = messaging.content == "full"
        self._table = Table(
            self._keeping,
            self._journal,
            config.node,
            receipt_wait_s=messaging.receipt_wait_s,
            keep_text=keep_text,
        )
        self._content = ContentRules(self._looking, self._keyring, messaging)
        self._living = self._connection("life")
        self._fence = Fence(self._living, self._keyring, config.node)
        self._dispatcher = Dispatcher(self._table, self._outlets, self._keyring, self._fence)
        self._reporter = Reporter(
            self._table, self._outlets, self._keyring, self._fence, messaging.receipt_wait_s
        )
        self._table.on_end = self._reporter.put
        rules = Rules(self._looking, self._keyring, self._decider)
        self._joins = Joins(self._joining, self._keyring, config.node, rules, self._dispatcher.put)
        self._gate = Gate(
            messaging,
            self._taking,
            rules=rules,
            content=self._content,
            rows=Rows(
                self._keyring,
                config.node,
                messaging.validity_s,
                messaging.parts_wait_s,
                show=messaging.content != "none",
            ),
            keyring=self._keyring,
            joins=self._joins,
            table=self._table,
            journal=self._journal,
            send=self._dispatcher.put,
            settle=self._dispatcher.settle,
            in_flight=lambda name: self._dispatcher.in_flight.get(name, 0),
        )
        self._clock = Clock(
            config.node,
            self._keeping,
            table=self._table,
            keyring=self._keyring,
            joins=self._joins,
            dispatcher=self._dispatcher,
            reporter=self._reporter,
        )
        self._started_at = datetime.now(UTC)

    def stats(self) -> Stats:
        return Stats(
            at=time.time(),
            started_at=self._started_at,
            store_up=self._keeping.up,  # the clock asks through it all the time
            accepted=self._gate.accepted,
            refused={reason.value: count for reason, count in self._gate.refused.items()},
            attempts=self._dispatcher.attempts,
            retries=self._dispatcher.retries,
            in_doubt=self._dispatcher.in_doubt,
            ended={state.value: count for state, count in self._table.ended.items()},
            reports=self._reporter.sent,
            reports_given_up=self._reporter.given_up,
            accepting=self._gate.under_way,
            queued=self._dispatcher.queued,
            held=len(self._table),
            parts_waiting=self._joins.waiting,
            unstored=self._table.dirty,
            journal_bytes=self._journal.backlog(),
            journal_damaged=self._journal.damaged,
            links=(links := [outlet.link.status() for outlet in self._outlets]),
            losses={
                "receipts_unread": sum(link.unread for link in links),
                "receipts_unmatched": self._clock.unmatched,
                "parts_in_doubt": self._dispatcher.in_doubt,
                "messages_unanswered": self._dispatcher.doubts.counts["unknown"],
                "parts_missing": self._joins.missing,
                "reports_undelivered": self._reporter.given_up,
                "messages_unopened": self._dispatcher.unopened,
                "messages_unstorable": self._table.unstorable,
                "journal_unwritten": self._table.unwritten,
                "journal_damaged": self._journal.damaged,
            },
        )

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Work until SIGTERM or SIGINT, or ``stop``; then answer what was asked, and end."""
        stop = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop.set)
        telling = asyncio.create_task(self._tell())
        try:
            if await self._restore(stop):
                await self._work(stop)
        finally:
            telling.cancel()
            stats.write(self._config.run_dir, self.stats())
            await self._content.close()
            for database in (self._looking, self._taking, self._keeping, self._joining, self._living):
                await database.close()
            self._decider.close()
            self._journal.close()

    def watch_configuration(self) -> None:
        """From now on take over changed links and limits, once ``qibai reload`` says so."""
        loop = asyncio.get_running_loop()
        LiveConfig(self._config, "gateway").watch(
            lambda new: asyncio.run_coroutine_threadsafe(self._change(new), loop).result()
        )

    async def _change(self, new: Config) -> None:
        old, self._config = self._config, new
        self._gate.limit(new.messaging)
        await self._links.change(old, new)

    async def _work(self, stop: asyncio.Event) -> None:
        done = asyncio.Event()
        names = [outlet.link.name for outlet in self._outlets]
        running = [asyncio.create_task(self._links.run(self._gate, stop))]
        running.append(asyncio.create_task(self._clock.run(stop)))
        self._fence.on_lost = stop.set
        running.append(asyncio.create_task(self._fence.run(stop)))
        listening = asyncio.create_task(self._listen())
        flushing = asyncio.create_task(self._table.run(done))
        halt = asyncio.create_task(stop.wait())
        _log.info("gateway runs", node=self._config.node, links=names)
        await asyncio.wait([*running, flushing, halt], return_when=asyncio.FIRST_COMPLETED)
        stop.set()  # should one part fail, the others still end cleanly
        listening.cancel()
        try:
            await self._dispatcher.stop()
            await self._reporter.stop()
            await asyncio.gather(*running, halt)
            await self._gate.idle()
        finally:
            done.set()
            await flushing

    async def _restore(self, stop: asyncio.Event) -> bool:
        """Read what an earlier gateway left; whether it is time to work, and not to stop."""
        facts = self._journal.read()
        while not stop.is_set():
            try:
                await self._fence.begin()
                await self._table.replay(facts)
                await self._table.flush()
                await self._restore_parts()
            except QibaiError as exc:
                _log.warning("messages wait for the database", error=exc.code)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY_S)
            else:
                return True
        return False

    async def _restore_parts(self) -> None:
        for row in await self._keeping.run(lambda conn: messages.waiting_parts(conn, self._config.node)):
            await self._joins.late(row)

    def _connection(self, purpose: str) -> Connections:
        return Connections(
            dsn(self._config),
            application=f"qibai gateway {purpose}".strip(),
            by_key=True,
            connect_timeout_s=max(2, self._config.store.connect_timeout_s),
            patience_s=None,
        )

    async def _listen(self) -> None:
        """Wake the clock when the API puts a message into the queue."""
        while True:
            try:
                async with listening(dsn(self._config), CHANNEL, application="qibai gateway listen") as conn:
                    while True:
                        if await heard(conn, LISTEN_S):
                            self._clock.wake()
            except QibaiError:
                await asyncio.sleep(RETRY_S)

    async def _tell(self) -> None:
        while True:
            stats.write(self._config.run_dir, self.stats())
            await asyncio.sleep(1.0)


def run(config: Config) -> None:
    """Run in the foreground until SIGTERM. Raise ConfigError or KeyFileError."""
    gc.freeze()  # what is there stays
    gc.set_threshold(20_000, 20, 20)  # nearly all that messages leave behind goes without the collector
    uvloop.run(_run(config))


async def _run(config: Config) -> None:
    gateway = Gateway(config)
    gateway.watch_configuration()
    await gateway.run()
