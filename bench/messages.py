"""Text messages: CPU a message and messages a second, the gateway beside a bare relay of the same library."""

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from bench.cpu import tree_seconds
from bench.figures import Figure, Report
from bench.world import World, free_ports, part, process, wait_until

AT_MOST: Final = 2.5
WARM_UP: Final = 500
WINDOW: Final = 64
PAIRS: Final = 2_000
DEADLINE_S: Final = 120.0  #: for one run
PROTOCOLS: Final = ("smpp", "cmpp")
CENTRES: Final = {"smpp": "bench.centre", "cmpp": "bench.centre_cmpp"}
ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Side:
    """A relay that runs: the roots of its measured processes by name, and whether its work is done."""

    roots: dict[str, int]
    settled: Callable[[], bool]

    def cpu(self) -> dict[str, float]:
        return {name: tree_seconds(pid) for name, pid in self.roots.items()}


class Load:
    """The message centre, in a process of its own."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def run(self, count: int, rate: float = 0) -> float:
        """How long it took until each of ``count`` messages had its receipt, in seconds."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(f"run {count} {rate} {WINDOW}\n")
        self._child.stdin.flush()
        ready, _, _ = select.select([self._child.stdout], [], [], DEADLINE_S)
        assert ready, "the messages did not all come through"
        said = json.loads(self._child.stdout.readline())
        assert said["refused"] == 0, f"{said['refused']} messages were refused"
        return float(said["seconds"])


def run(world: World, report: Report, *, messages: int, rate: int, rounds: int) -> None:
    """Measure each protocol; the kinds take turns."""
    numbers = [(pair.caller.national, str(pair.called)) for pair in world.pairs(PAIRS)]
    secret = world.home / "link.secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    for protocol in PROTOCOLS:
        cpu: dict[str, list[float]] = {"relay": [], "gateway": []}
        speed: dict[str, list[float]] = {"relay": [], "gateway": []}
        shares: list[dict[str, float]] = []
        for _ in range(rounds):
            for kind, start in (("relay", _relay), ("gateway", _gateway)):
                port = free_ports(1)[0]
                with _centre(world, protocol, port, numbers) as load, start(world, protocol, port) as side:
                    load.run(WARM_UP)
                    wait_until(side.settled, "the warm-up's end", world.home / "gateway.log")
                    before = side.cpu()
                    load.run(messages, rate)
                    wait_until(side.settled, "the last message", world.home / "gateway.log")
                    spent = {name: value - before[name] for name, value in side.cpu().items()}
                    cpu[kind].append(sum(spent.values()) / messages * 1e6)
                    if kind == "gateway":
                        shares.append({name: value / messages * 1e6 for name, value in spent.items()})
                    speed[kind].append(messages / load.run(messages))
                    wait_until(side.settled, "the last message", world.home / "gateway.log")
        _tell(report, protocol, cpu, speed, shares=shares, rate=rate)


def _tell(
    report: Report,
    protocol: str,
    cpu: dict[str, list[float]],
    speed: dict[str, list[float]],
    *,
    shares: list[dict[str, float]],
    rate: int,
) -> None:
    title = protocol.upper()
    where = ", ".join(
        f"{name} {statistics.median(share[name] for share in shares):.0f}" for name in shares[0]
    )
    report.add(
        Figure(
            "messages",
            f"{title}, CPU a message at {rate}/s",
            "µs",
            cpu["gateway"],
            "bare relay",
            cpu["relay"],
            at_most=AT_MOST,
            note=f"{where}; with its receipt",
            paired=True,
        )
    )
    report.add(
        Figure(
            "messages",
            f"{title}, messages a second",
            "msg/s",
            speed["gateway"],
            "bare relay",
            speed["relay"],
            note=f"{WINDOW} under way, each until its receipt; one process",
            paired=True,
        )
    )


@contextlib.contextmanager
def _centre(world: World, protocol: str, port: int, numbers: list[tuple[str, str]]) -> Iterator[Load]:
    with (world.home / "centre.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", CENTRES[protocol], str(port), str(world.home / "link.secret")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
        )
    try:
        assert child.stdin is not None
        child.stdin.write(json.dumps(numbers) + "\n")
        child.stdin.flush()
        yield Load(child)
    finally:
        child.terminate()
        child.wait(10)


@contextlib.contextmanager
def _relay(world: World, protocol: str, port: int) -> Iterator[Side]:
    command = [sys.executable, "-m", "bench.relays", protocol, str(port), str(world.home / "link.secret")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with process(command, world.home / "relay.log", env) as child:
        yield Side({"relay": child.pid}, lambda: True)


@contextlib.contextmanager
def _gateway(world: World, protocol: str, port: int) -> Iterator[Side]:
    secret = world.home / "link.secret"
    file = world.home / "qibai.toml"
    before = file.read_text()
    link = {"name": "centre", "protocol": protocol, "host": "127.0.0.1", "account": "900001"}
    lines = [f'{key} = "{value}"' for key, value in (link | {"password_file": str(secret)}).items()]
    settings = "[messaging]\nsip = false\npair_per_minute = 0\nnumber_per_minute = 0\n[[messaging.links]]\n"
    file.write_text(f"{before}\n{settings}" + "\n".join([*lines, f"port = {port}", f"window = {WINDOW}"]))
    env = {**os.environ, "QIBAI_HOME": str(world.home)}
    try:
        with (
            psycopg.connect(world.dsn, autocommit=True) as conn,
            process(part("qibai.messaging.gateway"), world.home / "gateway.log", env) as child,
        ):

            def settled() -> bool:
                row = conn.execute("SELECT count(*) FROM message WHERE due_at IS NOT NULL").fetchone()
                return row == (0,)

            yield Side({"gateway": child.pid, "PostgreSQL": world.database_pid()}, settled)
            if child.poll() is not None:
                raise RuntimeError("the gateway ended early: see its log")
    finally:
        file.write_text(before)
