"""CPU per call and the highest clean rate: Qibai beside a bare Kamailio relay, without and with topoh."""

import contextlib
import csv
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cpu import tree_seconds
from bench.figures import Figure, Report
from bench.world import Pair, World, free_ports, part, process, wait_until
from qibai.voice.engine import (
    kamailio_command,
    kamailio_environment,
    render,
    rtpengine_command,
)

SCENARIOS: Final = Path(__file__).parent / "scenarios"
CALL_S: Final = 1.0  #: how long a call lasts in scenarios/uac.xml
SETTLE_S: Final = 1.0  #: the recorder's time to fold the last calls
AT_MOST_OF_TOPOH: Final = 0.7
AT_MOST_OF_BARE: Final = 1.8


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of SIPp did, and what CPU the measured processes took for it."""

    good: int
    failed: int
    resent: int
    cpu_s: float

    @property
    def clean(self) -> bool:
        return self.failed == 0 and self.resent == 0 and self.good > 0

    @property
    def us_per_call(self) -> float:
        return self.cpu_s / max(self.good, 1) * 1e6


#: Starts one kind of platform; gives the port that takes calls and a reader of its CPU seconds.
Platform = Callable[[World], contextlib.AbstractContextManager[tuple[int, Callable[[], float]]]]


def run(world: World, report: Report, *, calls: int, rate: int, rounds: int, top_rate: int) -> None:
    """``rounds`` runs of each kind of platform, one kind after the other."""
    pairs = world.pairs(min(calls, 5_000))
    kinds: dict[str, Platform] = {"bare": _relay(False), "topoh": _relay(True), "qibai": _qibai(False)}
    kinds["qibai, media anchored"] = _qibai(True)
    loads: dict[str, list[Load]] = {name: [] for name in kinds}
    highest: dict[str, float] = {}
    for name, platform in kinds.items():
        with platform(world) as (port, cpu):
            running = Running(world, pairs, port, cpu)
            running.load(50, rate)  # warm: connections, plans, pages
            for number in range(rounds):
                report.say(f"voice: {name}, run {number + 1} of {rounds}, {calls} calls at {rate}/s")
                loads[name].append(running.load(calls, rate))
            if top_rate and name != "qibai, media anchored":
                highest[name] = running.highest(report, name, rate, top_rate)
    _tell(report, loads, highest)


def _tell(report: Report, loads: dict[str, list[Load]], highest: dict[str, float]) -> None:
    cost = {name: [load.us_per_call for load in runs] for name, runs in loads.items()}
    note = {name: _trouble(runs) for name, runs in loads.items()}
    ours = cost["qibai"]
    what = "CPU a call: Kamailio, PostgreSQL, recorder"
    report.add(Figure("voice", "CPU a call, bare relay", "µs", cost["bare"], note=note["bare"]))
    report.add(
        Figure(
            "voice",
            "CPU a call, relay with topoh",
            "µs",
            cost["topoh"],
            "bare",
            cost["bare"],
            note=note["topoh"],
        )
    )
    report.add(
        Figure(
            "voice", what, "µs", ours, "topoh", cost["topoh"], at_most=AT_MOST_OF_TOPOH, note=note["qibai"]
        )
    )
    report.add(Figure("voice", what, "µs", ours, "bare", cost["bare"], at_most=AT_MOST_OF_BARE))
    media = "qibai, media anchored"
    report.add(
        Figure("voice", f"{what}, rtpengine", "µs", cost[media], "topoh", cost["topoh"], note=note[media])
    )
    for name, rate in highest.items():
        base = [highest["bare"]] if name != "bare" else []
        report.add(
            Figure("voice", f"highest clean rate, {name}", "calls/s", [rate], "bare" if base else "", base)
        )


def _trouble(runs: list[Load]) -> str:
    failed, resent = sum(load.failed for load in runs), sum(load.resent for load in runs)
    return f"{failed} calls failed, {resent} messages were sent again" if failed or resent else ""


@dataclass(frozen=True, slots=True)
class Running:
    """A platform that takes calls on ``port``; ``cpu`` reads the CPU seconds of its processes."""

    world: World
    pairs: list[Pair]
    port: int
    cpu: Callable[[], float]

    def highest(self, report: Report, name: str, low: int, top: int) -> float:
        """The highest rate, in steps of a quarter, at which three seconds of calls go through clean."""
        clean, rate = 0.0, float(low)
        while rate <= top:
            load = self.load(round(rate * 3), round(rate))
            report.say(f"voice: {name} at {rate:.0f} calls/s: {'clean' if load.clean else 'not clean'}")
            if not load.clean:
                break
            clean, rate = rate, rate * 1.25
        return clean

    def load(self, calls: int, rate: int) -> Load:
        """One run of SIPp against the platform."""
        folder = self.world.home / "sipp"
        folder.mkdir(exist_ok=True)
        data, stats = folder / "pairs.csv", folder / "stats.csv"
        data.write_text("SEQUENTIAL\n" + "".join(f"{p.called};{p.caller}\n" for p in self.pairs))
        stats.unlink(missing_ok=True)
        longest = calls / rate + CALL_S + 20
        common = ["-i", "127.0.0.1", "-nostdin"]
        uas = ["sipp", "-sf", str(SCENARIOS / "uas.xml"), "-p", str(self.world.ports[4]), *common]
        uac = ["sipp", f"127.0.0.1:{self.port}", "-sf", str(SCENARIOS / "uac.xml"), *common]
        uac += ["-p", str(self.world.ports[3]), "-m", str(calls), "-inf", str(data), "-r", str(rate)]
        uac += ["-l", str(rate * 8), "-recv_timeout", "8000", "-timeout", f"{longest:.0f}", "-timeout_error"]
        uac += ["-trace_stat", "-stf", str(stats), "-fd", "1"]
        with process(uas, folder / "uas.log"):
            before = self.cpu()
            with (folder / "uac.log").open("wb") as log:
                subprocess.run(uac, stdout=log, stderr=log, cwd=folder, check=False, timeout=longest + 20)
            time.sleep(SETTLE_S)
            spent = self.cpu() - before
        with stats.open() as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        good = int(last["SuccessfulCall(C)"])
        return Load(good, calls - good, int(last["Retransmissions(C)"]), spent)


def _relay(topoh: bool) -> Platform:
    @contextlib.contextmanager
    def start(world: World) -> Iterator[tuple[int, Callable[[], float]]]:
        port = free_ports(1)[0]
        text = (SCENARIOS / "relay.cfg").read_text()
        modules = next(Path("/usr/lib").glob("*/kamailio/modules"))
        for word, value in (("MODULES", f"{modules}/"), ("CALLEE", str(world.ports[4])), ("PORT", str(port))):
            text = text.replace(word, value)
        if topoh:
            text = text.replace("#!KAMAILIO\n", "#!KAMAILIO\n#!define TOPOH\n", 1)
        run_dir = world.home / ("topoh" if topoh else "bare")
        run_dir.mkdir(exist_ok=True)
        (run_dir / "kamailio.cfg").write_text(text)
        command = [
            "kamailio",
            "-f",
            str(run_dir / "kamailio.cfg"),
            "-DD",
            "-E",
            "-Y",
            str(run_dir),
            "-m",
            "128",
        ]
        log = run_dir / "kamailio.log"
        with process(command, log) as child:
            wait_until(lambda: _listens(port), "the relay", log)
            yield port, lambda: tree_seconds(child.pid)

    return start


def _qibai(media: bool) -> Platform:
    @contextlib.contextmanager
    def start(world: World) -> Iterator[tuple[int, Callable[[], float]]]:
        world.set_media(media)
        config = world.config()
        render(config)
        config.spool_dir.mkdir(exist_ok=True)
        port, log = config.voice.udp_port, world.home / "qibai.log"
        recorder = part("qibai.records.recorder")
        env = {**os.environ, "QIBAI_HOME": str(world.home)}
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(process(recorder, log, env))]
            if media:
                children.append(stack.enter_context(process(rtpengine_command(config), log)))
            kamailio = process(kamailio_command(config), log, kamailio_environment(config))
            children.append(stack.enter_context(kamailio))
            roots = [world.database_pid(), *(child.pid for child in children)]
            wait_until(lambda: _listens(port), "Kamailio", log)
            yield port, lambda: tree_seconds(*roots)
            if any(child.poll() is not None for child in children):
                raise RuntimeError(f"a measured process ended early:\n{log.read_text()[-2000:]}")

    return start


def _listens(port: int) -> bool:
    """Whether some process has the UDP port."""
    return f"0100007F:{port:04X}" in Path("/proc/net/udp").read_text()
