"""The supervisor: starts parts in order, restarts one that dies, stops all in the opposite order."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from qibai.config import UNRULED, Config
from qibai.core.errors import KeyFileError, QibaiError, SchemaError
from qibai.store.actors import operator_here
from qibai.store.keys import Keyring
from qibai.store.upgrade import upgrade
from qibai.supervise import child, state
from qibai.supervise.parts import Part, parts

BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S: Final = 30.0  #: a part that ran so long starts with the first back-off again
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0

Say = Callable[[str, str], None]  #: (part's name, line)


class Watched:
    """A part and what became of it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.state = "waiting"
        self.restarts = 0
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()

    def facts(self) -> dict[str, Any]:
        running = self.process is not None and self.process.returncode is None
        pid = self.process.pid if running and self.process else None
        return {"state": self.state, "pid": pid, "restarts": self.restarts}


class Supervisor:
    """Runs until ``stop`` is called."""

    def __init__(self, config: Config, say: Say) -> None:
        self._config = config
        self._say = say
        self._stopping = asyncio.Event()
        self._refused: QibaiError | None = None
        self._watched = {part.name: Watched(part) for part in parts(config)}

    def stop(self) -> None:
        """Begin the end."""
        self._stopping.set()

    async def run(self) -> None:
        """Start everything, keep it running, and stop it in order once ``stop`` was called.

        Raise KeyFileError or SchemaError when the data is not for this key file or this release.
        """
        tasks = {name: asyncio.create_task(self._keep(one)) for name, one in self._watched.items()}
        ready = asyncio.create_task(self._announce())
        await self._stopping.wait()
        ready.cancel()
        self._say("qibai", "stopping")
        for name, one in reversed(self._watched.items()):
            await self._end(one)
            await tasks[name]
        self._say("qibai", "stopped")
        if self._refused is not None:
            raise self._refused

    async def _announce(self) -> None:
        for one in self._watched.values():
            await one.ready.wait()
        self._say("qibai", "everything is up")

    async def _keep(self, one: Watched) -> None:
        """One part's life: start, watch, wait a little, start again."""
        try:
            for need in one.part.needs:
                if await self._stops_before(self._watched[need].ready):
                    return
            failures = 0
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    await self._once(one)
                except (QibaiError, OSError) as exc:
                    self._say(one.part.name, f"cannot start: {exc}")
                    await self._end(one)
                if self._stopping.is_set():
                    return
                failures = 0 if time.monotonic() - began > STEADY_S else failures
                pause = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
                failures += 1
                one.restarts += 1
                self._set(one, "restarting")
                self._say(one.part.name, f"ended; starts again in {pause} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
        finally:
            self._set(one, "stopped")

    async def _once(self, one: Watched) -> None:
        """Start the part and return when it has ended."""
        part = one.part
        self._set(one, "starting")
        await asyncio.to_thread(part.prepare)
        if self._stopping.is_set():
            return
        process = await child.spawn(part.command(), self._config.home, part.env, part.stop_signal)
        one.process = process
        if self._stopping.is_set():  # asked to stop while it was being started
            process.send_signal(part.stop_signal)
        pump = asyncio.create_task(self._pump(part, process))
        watch = asyncio.create_task(self._watch_ready(one, process))
        try:
            await child.ended(process)
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            await asyncio.to_thread(child.kill_group, process.pid)
            await pump

    async def _watch_ready(self, one: Watched, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        try:
            while not await asyncio.to_thread(one.part.is_ready):
                if time.monotonic() > deadline:
                    self._say(one.part.name, f"did not answer for {READY_TIMEOUT_S:.0f} s")
                    process.kill()
                    return
                await asyncio.sleep(0.1)
            await asyncio.to_thread(one.part.after_ready)
        except QibaiError as exc:
            if isinstance(exc, KeyFileError | SchemaError) and one.restarts == 0:  # no restart would mend it
                self._refused = exc
                self.stop()
            else:
                self._say(one.part.name, str(exc))
            if process.returncode is None:
                process.send_signal(one.part.stop_signal)
            return
        if process.returncode is None:
            one.ready.set()
            self._set(one, "ready")

    async def _end(self, one: Watched) -> None:
        process = one.process
        if process is None or process.returncode is not None:
            return
        self._set(one, "stopping")
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(one.part.stop_signal)
        try:
            await asyncio.wait_for(child.ended(process), STOP_TIMEOUT_S)
        except TimeoutError:
            self._say(one.part.name, f"did not stop in {STOP_TIMEOUT_S:.0f} s; killed")
            await asyncio.to_thread(child.kill_group, process.pid)
            await child.ended(process)

    async def _pump(self, part: Part, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        shown = part.shown()
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the pipe's limit: its rest comes as lines of their own
                continue
            if not line:
                return
            said = shown(line.decode(errors="replace").rstrip())
            if said is not None:
                self._say(part.name, said)

    async def _stops_before(self, event: asyncio.Event) -> bool:
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._stopping.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._stopping.is_set()

    def _set(self, one: Watched, value: str) -> None:
        one.state = value
        state.write(self._config, {name: each.facts() for name, each in self._watched.items()})


def run(config: Config, say: Say) -> None:
    """Supervise until SIGINT or SIGTERM. Raise Conflict when this home is supervised already."""
    with state.held(config):
        left = child.end_leftovers(config.home)
        if left:
            say("qibai", f"ended {left} processes that a killed supervisor had left")
        if config.pilot.rules.calendar is None:
            say("qibai", f"WARNING: {UNRULED}")
        if not config.store.dsn:
            _first_key_file(config)
        config.spool_dir.mkdir(parents=True, exist_ok=True)
        config.log_dir.mkdir(parents=True, exist_ok=True)
        if config.store.dsn:
            upgrade(config, operator_here(config.node))
            Keyring.load_or_create(config.key_file)
        asyncio.run(_main(config, say))


def _first_key_file(config: Config) -> None:
    """Make a key file, unless there is a database already: its own has to come back."""
    if config.pg_dir.exists() and not config.key_file.exists():
        raise KeyFileError(f"{config.key_file} is not there, but its database is; restore the file's backup")
    Keyring.load_or_create(config.key_file)


async def _main(config: Config, say: Say) -> None:
    supervisor = Supervisor(config, say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()
