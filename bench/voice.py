"""CPU per call and the highest clean rate: Qibai beside a bare Kamailio relay, without and with topoh.

Each relay runs as Debian ships it, and again with the allocators that Qibai sets, which make it far cheaper:
so every ratio says what it is held against. The kinds take turns, round by round, and a ratio is taken within
its round: what else the machine does, and how fast its cores happen to be, then strikes all sides alike.
"""

import csv
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import Final

from bench.figures import Figure, Report
from bench.platforms import SCENARIOS, Platform, Starter, qibai, relay
from bench.world import Pair, World, process

CALL_S: Final = 1.0  #: how long a call lasts in scenarios/uac.xml
SETTLE_S: Final = 1.0  #: the recorder's time to fold the last calls
WARM_CALLS: Final = 300  #: before each measured run: connections, plans, pages, the interpreter's caches
SEARCH_S: Final = 3.0  #: how long a rate is held in the search for the highest
AT_MOST_OF_TOPOH: Final = 0.7
AT_MOST_OF_BARE: Final = 1.8
OURS: Final = "qibai"
MEDIA: Final = "qibai, media anchored"
BARE: Final = "bare, same allocators"
TOPOH: Final = "topoh, same allocators"
BARE_DEBIAN: Final = "bare, Debian's allocators"
TOPOH_DEBIAN: Final = "topoh, Debian's allocators"
KINDS: Final[dict[str, Starter]] = {
    BARE_DEBIAN: relay(topoh=False, debian=True),
    TOPOH_DEBIAN: relay(topoh=True, debian=True),
    BARE: relay(topoh=False, debian=False),
    TOPOH: relay(topoh=True, debian=False),
    OURS: qibai(False),
    MEDIA: qibai(True),
}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of SIPp did, and what CPU the measured processes took for it."""

    good: int
    failed: int
    resent: int
    cpu_s: dict[str, float]  #: by process

    @property
    def clean(self) -> bool:
        return self.failed == 0 and self.resent == 0 and self.good > 0

    @property
    def us_per_call(self) -> float:
        return sum(self.cpu_s.values()) / max(self.good, 1) * 1e6

    def us_of(self, process: str) -> float:
        return self.cpu_s[process] / max(self.good, 1) * 1e6


def run(world: World, report: Report, *, calls: int, rate: int, rounds: int, top_rate: int) -> None:
    """``rounds`` rounds, in each of them one run of each kind; then the search for the highest rates."""
    pairs = world.pairs(min(calls, 5_000))
    loads: dict[str, list[Load]] = {name: [] for name in KINDS}
    for number in range(rounds):
        for name, start in KINDS.items():
            with start(world) as platform:
                running = Running(world, pairs, platform)
                warm, load = running.load(WARM_CALLS, rate), running.load(calls, rate)
                if name in (OURS, MEDIA):
                    _check_records(world, warm.good + load.good)
            loads[name].append(load)
            report.say(f"voice: round {number + 1} of {rounds}, {name}: {load.us_per_call:,.0f} µs a call")
    highest: dict[str, float] = {}
    for name, start in KINDS.items():
        if top_rate and name in (BARE, TOPOH, OURS):
            with start(world) as platform:
                running = Running(world, pairs, platform)
                running.load(WARM_CALLS, rate)
                highest[name] = running.highest(report, name, rate, top_rate)
    _tell(report, loads, highest)


def _tell(report: Report, loads: dict[str, list[Load]], highest: dict[str, float]) -> None:
    def line(what: str, kind: str, base: str = "", mark: float | None = None) -> None:
        runs = loads[kind]
        cost = [load.us_per_call for load in runs]
        note = f"{min(cost):,.0f} to {max(cost):,.0f}{_trouble(runs)}"
        against = [load.us_per_call for load in loads[base]] if base else []
        report.add(
            Figure("voice", what, "µs", cost, base, against, at_most=mark, note=note, paired=bool(base))
        )

    whole = "CPU a call: Kamailio, PostgreSQL, recorder"
    for bare, topoh in ((BARE_DEBIAN, TOPOH_DEBIAN), (BARE, TOPOH)):
        line(f"CPU a call, {bare}", bare)
        line(f"CPU a call, {topoh}", topoh, bare)
        line(whole, OURS, topoh, AT_MOST_OF_TOPOH)
        line(whole, OURS, bare, AT_MOST_OF_BARE)
        line(f"{whole}, rtpengine", MEDIA, topoh)
    for kind in (OURS, MEDIA):
        shares = {
            name: statistics.median(load.us_of(name) for load in loads[kind]) for name in loads[kind][0].cpu_s
        }
        report.say(f"{kind}: " + ", ".join(f"{name} {share:,.0f} µs" for name, share in shares.items()))
    for name, rate in highest.items():
        base = [highest[BARE]] if name != BARE else []
        report.add(
            Figure("voice", f"highest clean rate, {name}", "calls/s", [rate], BARE if base else "", base)
        )


def _trouble(runs: list[Load]) -> str:
    failed, resent = sum(load.failed for load in runs), sum(load.resent for load in runs)
    return f"; {failed} calls failed, {resent} messages were sent again" if failed or resent else ""


def _check_records(world: World, calls: int) -> None:
    """Raise RuntimeError when a call has no finished record. They go: the next run begins with none."""
    with world.connect() as conn:
        row = conn.execute("SELECT count(*) FROM call WHERE ended_at IS NOT NULL").fetchone()
        if row is None or row[0] < calls:
            raise RuntimeError(f"{calls} calls, but {row and row[0]} finished records")
        conn.execute("TRUNCATE call")


@dataclass(frozen=True, slots=True)
class Running:
    """A platform under load."""

    world: World
    pairs: list[Pair]
    platform: Platform

    def highest(self, report: Report, name: str, low: int, top: int) -> float:
        """The highest rate at which ``SEARCH_S`` of calls go through clean: steps of a quarter, then halves.

        A rate that fails is tried once more: one lost message in thousands is the machine's.
        """

        def goes(rate: float) -> bool:
            good = any(self.load(round(rate * SEARCH_S), round(rate)).clean for _ in range(2))
            report.say(f"voice: {name} at {rate:.0f} calls/s: {'clean' if good else 'not clean'}")
            return good

        clean, rate = 0.0, float(low)
        while rate <= top and goes(rate):
            clean, rate = rate, rate * 1.25
        for _ in range(2 if clean else 0):
            middle = (clean + rate) / 2
            if goes(middle):
                clean = middle
            else:
                rate = middle
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
        uac = ["sipp", f"127.0.0.1:{self.platform.port}", "-sf", str(SCENARIOS / "uac.xml"), *common]
        uac += ["-p", str(self.world.ports[3]), "-m", str(calls), "-inf", str(data), "-r", str(rate)]
        uac += ["-l", str(rate * 8), "-recv_timeout", "8000", "-timeout", f"{longest:.0f}", "-timeout_error"]
        uac += ["-trace_stat", "-stf", str(stats), "-fd", "1"]
        with process(uas, folder / "uas.log"):
            before = self.platform.cpu()
            with (folder / "uac.log").open("wb") as log:
                subprocess.run(uac, stdout=log, stderr=log, cwd=folder, check=False, timeout=longest + 20)
            time.sleep(SETTLE_S)
            after = self.platform.cpu()
        with stats.open() as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        good = int(last["SuccessfulCall(C)"])
        spent = {name: seconds - before[name] for name, seconds in after.items()}
        return Load(good, calls - good, int(last["Retransmissions(C)"]), spent)
