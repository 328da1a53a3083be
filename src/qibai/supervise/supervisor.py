"""The supervisor: starts parts in order, restarts one that dies, stops all in the opposite order."""

import asyncio
import contextlib
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import psutil

from qibai.config import UNRULED, Config, load
from qibai.core.errors import KeyFileError, QibaiError, SchemaError, Unavailable
from qibai.settings.mistakes import refuse
from qibai.store import keyfile
from qibai.store.actors import operator_here
from qibai.store.backup import finish_interrupted
from qibai.store.keys import Keyring
from qibai.store.upgrade import upgrade
from qibai.supervise import child, control, portuse, preflight, state
from qibai.supervise.claims import Claims
from qibai.supervise.parts import Part, parts
from qibai.supervise.reload import reload

BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S: Final = 30.0  #: a part that ran so long starts with the first back-off again
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
FIRST_TRIES: Final = 3  #: a part that ended so often before the platform was up cannot start
GUARD_S: Final = 5.0  #: between looks whether each part still has its ports for itself
_LAST_LINES: Final = 6

Say = Callable[[str, str], None]  #: (part's name, line)


class Watched:
    """A part and what became of it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.state = "waiting"
        self.restarts = 0
        self.process: asyncio.subprocess.Process | None = None
        self.started: float | None = None  #: as the kernel notes it
        self.held: list[socket.socket] = []  #: its ports, while it is away
        self.says = ""  #: why it is not ready
        self.last: deque[str] = deque(maxlen=_LAST_LINES)  #: of what it said since it was started
        self.ready = asyncio.Event()

    def let_go(self) -> None:
        """Free the ports that were kept from strangers while the part was away."""
        while self.held:
            self.held.pop().close()

    def facts(self) -> dict[str, Any]:
        running = self.process is not None and self.process.returncode is None
        pid = self.process.pid if running and self.process else None
        return {
            "state": self.state,
            "pid": pid,
            "started": self.started if pid else None,
            "restarts": self.restarts,
            "says": self.says,
        }


class Supervisor:
    """Runs until ``stop`` is called."""

    def __init__(self, config: Config, say: Say) -> None:
        self._config = config
        self._show = say
        self._was_up = False
        self._reloading: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._refused: QibaiError | None = None
        self._watched = {part.name: Watched(part) for part in parts(config)}

    def stop(self) -> None:
        """Begin the end."""
        self._stopping.set()

    def reload(self) -> None:
        """Take over a changed configuration, and say what needs a restart."""
        self._reloading = asyncio.create_task(asyncio.to_thread(self._reload))

    def _reload(self) -> None:
        try:
            found = reload(load(self._config.home))
        except QibaiError as exc:
            self._say("qibai", f"not reloaded: {exc.message}")
            return
        for part, keys in found.taken.items():
            self._say("qibai", f"{part} runs with the new {', '.join(keys)}")
        for part, keys in found.restart.items():
            self._say("qibai", f"{part} needs a restart for {', '.join(keys)}")

    async def run(self) -> None:
        """Start everything, keep it running, and stop it in order once ``stop`` was called.

        Raise KeyFileError or SchemaError when the data is not for this key file or this release, and
        Unavailable with its own words when a part cannot start at all.
        """
        server = await control.listen(self._config, self._answer)
        guard = asyncio.create_task(self._guard())
        tasks = {name: asyncio.create_task(self._keep(one)) for name, one in self._watched.items()}
        ready = asyncio.create_task(self._announce())
        await self._stopping.wait()
        ready.cancel()
        guard.cancel()
        self._say("qibai", "stopping")
        for name, one in reversed(self._watched.items()):
            await self._end(one)
            await tasks[name]
        server.close()
        self._say("qibai", "stopped")
        if self._refused is not None:
            raise self._refused

    async def _announce(self) -> None:
        for one in self._watched.values():
            await one.ready.wait()
        self._was_up = True
        self._say("qibai", "everything is up")

    async def _answer(self, what: str, by_owner: bool) -> dict[str, Any]:
        return {"parts": {name: one.facts() for name, one in self._watched.items()}}

    async def _guard(self) -> None:
        """A part that shares a port with a stranger is failing: the stranger may get what is meant for it."""
        while True:
            await asyncio.sleep(GUARD_S)
            for one in self._watched.values():
                process = one.process
                if not one.part.ports or process is None or process.returncode is not None:
                    continue
                if one.state in ("ready", "failing"):
                    says = await asyncio.to_thread(portuse.trouble, one.part.ports, process.pid)
                    if says and says != one.says:
                        self._say(one.part.name, says)
                    if bool(says) != (one.state == "failing"):
                        await asyncio.to_thread(one.part.on_stranger, bool(says))
                    if process.returncode is None and one.state in ("ready", "failing"):
                        self._set(one, "failing" if says else "ready", says)

    def _say(self, name: str, line: str) -> None:
        """Show a line. Where nothing can be written, as on a full disk, the platform goes on without it."""
        with contextlib.suppress(OSError, ValueError):
            self._show(name, line)

    def _cannot_start(self, one: Watched, why: str) -> None:
        """End the start, unless the platform was up before: then a part is tried for ever."""
        if not self._was_up and self._refused is None:
            self._refused = Unavailable(f"{one.part.name} cannot start: {why or 'it said nothing'}")
            self.stop()

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
                except Exception as exc:  # whatever it was, this part is tried again and the others go on
                    why = str(exc) if isinstance(exc, QibaiError | OSError) else repr(exc)
                    self._say(one.part.name, f"cannot start: {why}")
                    one.last.append(why)
                    await self._end(one)
                if self._stopping.is_set():
                    return
                failures = 0 if time.monotonic() - began > STEADY_S else failures
                pause = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
                failures += 1
                one.restarts += 1
                self._set(one, "restarting", one.last[-1] if one.last else "")
                if failures >= FIRST_TRIES:
                    self._cannot_start(one, "\n".join(one.last))
                self._say(one.part.name, f"ended; starts again in {pause} s")
                one.held = await asyncio.to_thread(portuse.hold, one.part.ports)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
        finally:
            one.let_go()
            self._set(one, "stopped")

    async def _once(self, one: Watched) -> None:
        """Start the part and return when it has ended."""
        part = one.part
        self._set(one, "starting")
        one.last.clear()
        one.let_go()
        for port in part.ports:
            refused = await asyncio.to_thread(portuse.refusal, port)
            if refused:
                await asyncio.to_thread(part.on_stranger, True)
                raise Unavailable(refused)
        await asyncio.to_thread(part.prepare)
        if self._stopping.is_set():
            return
        process = await child.spawn(part.command(), self._config.home, part.env, part.stop_signal)
        one.process = process
        with contextlib.suppress(psutil.Error):
            one.started = psutil.Process(process.pid).create_time()
        if self._stopping.is_set():  # asked to stop while it was being started
            process.send_signal(part.stop_signal)
        pump = asyncio.create_task(self._pump(one, process))
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
            while not await asyncio.to_thread(self._is_ready, one, process.pid):
                if time.monotonic() > deadline:
                    why = one.says or "it does not answer"
                    self._say(one.part.name, f"not ready after {READY_TIMEOUT_S:.0f} s: {why}")
                    self._cannot_start(one, f"not ready after {READY_TIMEOUT_S:.0f} s: {why}")
                    process.kill()
                    return
                await asyncio.sleep(0.1)
            await asyncio.to_thread(one.part.after_ready)
            await asyncio.to_thread(one.part.on_stranger, False)
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

    def _is_ready(self, one: Watched, pid: int) -> bool:
        """Whether the part answers, and has its ports: a stranger that listens there may answer as well."""
        one.says = portuse.trouble(one.part.ports, pid)
        if one.says:
            return False
        one.says = "" if one.part.is_ready(pid) else "it does not answer"
        return not one.says

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

    async def _pump(self, one: Watched, process: asyncio.subprocess.Process) -> None:
        part = one.part
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
                one.last.append(said)
                self._say(part.name, said)

    async def _stops_before(self, event: asyncio.Event) -> bool:
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._stopping.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._stopping.is_set()

    def _set(self, one: Watched, value: str, says: str = "") -> None:
        one.state, one.says = value, says


def run(config: Config, say: Say) -> None:
    """Supervise until SIGINT or SIGTERM.

    Raise Conflict when this home is supervised already or a restore into it is under way, ConfigMistakes when
    something would keep a part from starting: a port that somebody has, a file that is not there.
    """
    with state.held(config), Claims() as claims:
        left = child.end_leftovers(config.home)
        if left:
            say("qibai", f"ended {left} processes that a killed supervisor had left")
        finish_interrupted(config)
        keyfile.check_there(config)
        refuse(preflight.machine_mistakes(config))
        preflight.claim(config, claims)
        if config.pilot.rules.calendar is None:
            say("qibai", f"WARNING: {UNRULED}")
        if not config.store.dsn:
            Keyring.load_or_create(config.key_file)
        for folder in (config.spool_dir, config.log_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if config.store.dsn:
            upgrade(config, operator_here(config.node))
            Keyring.load_or_create(config.key_file)
        asyncio.run(_main(config, say))


async def _main(config: Config, say: Say) -> None:
    supervisor = Supervisor(config, say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    await supervisor.run()
