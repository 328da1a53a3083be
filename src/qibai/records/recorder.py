"""``qibai recorder``: one record a call, and an end for each call. One process a node."""

import asyncio
import signal
import time
from datetime import timedelta

import msgspec
import structlog

from qibai.config import Config
from qibai.files import replace_file
from qibai.records.ender import Ender
from qibai.records.keeper import REMEMBER_S, Keeper
from qibai.records.meter import Buckets
from qibai.records.pump import Pump
from qibai.store import dsn
from qibai.store.anchors import Anchorer
from qibai.store.keys import Keyring
from qibai.store.loss_counts import LossCounts
from qibai.store.poolcount import PoolCounter
from qibai.store.sweep import Sweeper

STATS_FILE = "recorder.json"

_log = structlog.get_logger("recorder")


class Stats(msgspec.Struct, frozen=True):
    """How the recorder is doing; written to ``run_dir/recorder.json`` each second."""

    at: float  #: Unix seconds; when this is old, the recorder does not run
    store_up: bool
    events: int  #: stored since the start
    rows: int
    refused: int  #: calls that the database would not take
    damaged: int  #: lines of the spool that could not be read
    backlog_bytes: int  #: of the spool, not yet stored
    live: int  #: calls that run or ring
    ended: dict[str, int]  #: calls ended by the platform, by reason
    started_at: float  #: Unix seconds; counts are since then
    running: dict[str, int]  #: calls, by state
    # Each count stands behind the values that it is by. The meter explains them.
    calls_received: list[tuple[str, int]]
    calls_refused: list[tuple[str, str, int]]
    calls_ended: list[tuple[str, str, str, int]]
    calls_handed_on: list[tuple[str, str, int]]
    post_dial_delay: Buckets  #: from the INVITE to the first ringing
    setup: Buckets  #: from the INVITE to the answer
    duration: Buckets  #: from the answer to the end


class Recorder:
    """The parts, put together."""

    def __init__(self, config: Config, *, remember_s: float = REMEMBER_S) -> None:
        """``remember_s``: how long something is kept of a call that has ended. Raise KeyFileError."""
        self._config = config
        config.spool_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._keeper = Keeper(config.voice.ring_timeout_s, config.binding.max_call_s, remember_s)
        losses = self._losses = LossCounts(config.run_dir, "recorder")
        self._damaged = 0  #: lines that are counted
        self._started_at = time.time()
        self._pump = Pump(config, self._keeper, losses)
        keyring = Keyring.load(config.key_file)
        self._ender = Ender(config, keyring, self._keeper, losses, self._pump)
        self._stats_file = config.run_dir / STATS_FILE

    def stats(self) -> Stats:
        meter = self._keeper.meter
        ringing, answered = self._keeper.running()
        return Stats(
            at=time.time(),
            store_up=self._pump.store_up,
            events=self._pump.events,
            rows=self._pump.rows,
            refused=self._pump.refused,
            damaged=self._pump.damaged,
            backlog_bytes=self._pump.backlog(),
            live=len(self._keeper.live),
            ended=self._ender.ended,
            started_at=self._started_at,
            running={"ringing": ringing, "answered": answered},
            calls_received=list(meter.received.items()),
            calls_refused=[(*labels, count) for labels, count in meter.refused.items()],
            calls_ended=[(*labels, count) for labels, count in meter.ended.items()],
            calls_handed_on=[(*labels, count) for labels, count in meter.handed_on.items()],
            post_dial_delay=meter.post_dial_delay,
            setup=meter.setup,
            duration=meter.duration,
        )

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; then store what was read and stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        sweeper = Sweeper(
            dsn(self._config),
            self._config.retention,
            quarantine=timedelta(seconds=self._config.binding.quarantine_s),
            count_orphans=lambda count: self._losses.add("routes_outlived", count),
        )
        sweeper.start()
        anchorer = Anchorer(self._config)
        anchorer.start()
        counter = PoolCounter(self._config)
        counter.start()
        telling = asyncio.create_task(self._tell())
        parts = [asyncio.create_task(self._pump.run(stop)), asyncio.create_task(self._ender.run(stop))]
        _log.info("recorder runs", node=self._config.node)
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            stop.set()  # should one part fail, the other still ends cleanly
            await asyncio.gather(*parts)
        finally:
            telling.cancel()
            self._write_stats()
            await asyncio.to_thread(sweeper.stop)
            await asyncio.to_thread(anchorer.stop)
            await asyncio.to_thread(counter.stop)

    async def _tell(self) -> None:
        while True:
            self._write_stats()
            await asyncio.sleep(1.0)

    def _write_stats(self) -> None:
        damaged = self._pump.damaged - self._damaged
        if damaged:
            self._damaged += damaged
            self._losses.add("spool_lines_damaged", damaged)
            _log.error("lines of the spool cannot be read", lines=damaged)
        try:
            replace_file(self._stats_file, msgspec.json.encode(self.stats()))
        except OSError as exc:
            _log.warning("statistics cannot be written", error=exc.strerror)


def run(config: Config) -> None:
    """Run in the foreground until SIGTERM. Raise KeyFileError."""
    asyncio.run(Recorder(config).run())
