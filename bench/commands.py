"""What a command costs before it does anything: CPU time of the whole process, beside ``import typer``."""

import os
import subprocess
import sys
from typing import Final

from bench.figures import Figure, Report
from bench.world import World, api

VERSION_AT_MOST: Final = 2.0
ASKING_AT_MOST: Final = 4.0


def run(world: World, report: Report, *, rounds: int) -> None:
    """The kinds take turns, so that a busy machine is busy for all of them."""
    with api(world) as running:
        _measure(world, running.url, report, rounds)


def _measure(world: World, url: str, report: Report, rounds: int) -> None:
    command = [sys.executable, "-m", "qibai", "--home", str(world.home)]
    kinds = {
        "import": [sys.executable, "-c", "import typer"],
        "version": [*command, "--version"],
        "asks": [*command, "calls", "--api-url", url, "--api-key", world.bearer],
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds + 1):
        for name, words in kinds.items():
            milliseconds = _cpu_ms(words)
            if turn:  # the first fills caches
                taken[name].append(milliseconds)
    base = ("python -c 'import typer'", taken["import"])
    for what, name, most in (
        ("CPU of qibai --version", "version", VERSION_AT_MOST),
        ("CPU of a command that asks the API", "asks", ASKING_AT_MOST),
    ):
        report.add(Figure("commands", what, "ms", taken[name], *base, at_most=most, paired=True))


def _cpu_ms(words: list[str]) -> float:
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{words} ended with {child.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1_000
