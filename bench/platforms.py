"""What the voice part measures: a bare Kamailio relay, the same with topoh, and Qibai's call path."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cpu import tree_seconds
from bench.world import World, free_ports, part, process, wait_until
from qibai.voice.engine import (
    ALLOCATORS,
    kamailio_command,
    kamailio_environment,
    render,
    rtpengine_command,
)

SCENARIOS: Final = Path(__file__).parent / "scenarios"


@dataclass(frozen=True, slots=True)
class Platform:
    """One that runs: the port that takes calls, and the roots of its measured processes by name."""

    port: int
    roots: dict[str, int]

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by the name of the root."""
        return {name: tree_seconds(pid) for name, pid in self.roots.items()}


#: Starts one kind of platform, and stops it.
Starter = Callable[[World], contextlib.AbstractContextManager[Platform]]


def relay(*, topoh: bool, debian: bool) -> Starter:
    """A relay that record-routes and decides nothing; ``topoh``: and hides by that module.

    ``debian``: with the allocators that Debian's Kamailio has by default, else with those that Qibai sets.
    """

    @contextlib.contextmanager
    def start(world: World) -> Iterator[Platform]:
        port = free_ports(1)[0]
        text = (SCENARIOS / "relay.cfg").read_text()
        modules = next(Path("/usr/lib").glob("*/kamailio/modules"))
        for word, value in (("MODULES", f"{modules}/"), ("CALLEE", str(world.ports[4])), ("PORT", str(port))):
            text = text.replace(word, value)
        if topoh:
            text = text.replace("#!KAMAILIO\n", "#!KAMAILIO\n#!define TOPOH\n", 1)
        run_dir = world.home / f"{'topoh' if topoh else 'bare'}{'-debian' if debian else ''}"
        run_dir.mkdir(exist_ok=True)
        (run_dir / "kamailio.cfg").write_text(text)
        command = ["kamailio", "-f", str(run_dir / "kamailio.cfg"), "-DD", "-E", "-Y", str(run_dir)]
        command += ["-m", "128"] if debian else ["-m", "128", *ALLOCATORS]
        log = run_dir / "kamailio.log"
        with process(command, log) as child:
            wait_until(lambda: _listens(port), "the relay", log)
            yield Platform(port, {"Kamailio": child.pid})

    return start


def qibai(media: bool) -> Starter:
    """The whole call path; ``media``: anchored by rtpengine."""

    @contextlib.contextmanager
    def start(world: World) -> Iterator[Platform]:
        world.set_media(media)
        config = world.config()
        render(config)
        config.spool_dir.mkdir(exist_ok=True)
        port, log = config.voice.udp_port, world.home / "qibai.log"
        recorder = part("qibai.records.recorder")
        env = {**os.environ, "QIBAI_HOME": str(world.home)}
        with contextlib.ExitStack() as stack:
            children = {"recorder": stack.enter_context(process(recorder, log, env))}
            if media:
                children["rtpengine"] = stack.enter_context(process(rtpengine_command(config), log))
            kamailio = process(kamailio_command(config), log, kamailio_environment(config))
            children["Kamailio"] = stack.enter_context(kamailio)
            wait_until(lambda: _listens(port), "Kamailio", log)
            roots = {name: child.pid for name, child in children.items()}
            yield Platform(port, {"PostgreSQL": world.database_pid(), **roots})
            if any(child.poll() is not None for child in children.values()):
                raise RuntimeError(f"a measured process ended early:\n{log.read_text()[-2000:]}")

    return start


def _listens(port: int) -> bool:
    """Whether some process has the UDP port."""
    return f"0100007F:{port:04X}" in Path("/proc/net/udp").read_text()
