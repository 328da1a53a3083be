"""Binds a second through the HTTP API, single and bulk, beside PostgreSQL alone with the same rows."""

import json
import random
import re
import subprocess
import threading
import time
import urllib.request
from typing import Final

from bench.figures import Figure, Report
from bench.reference import SCRIPTS, copy, pgbench
from bench.world import World, api

AT_LEAST_SINGLE: Final = 0.5
AT_LEAST_BULK: Final = 0.4
AT_MOST_SLOWER: Final = 1.3
_BULK_ITEMS: Final = 2_000
_BULK_CLIENTS: Final = 2
_DONE: Final = re.compile(r"bound ([0-9]+) refused ([0-9]+) us ([0-9]+)")


def run(world: World, report: Report, *, seconds: int, rounds: int, bulk_rows: int) -> dict[str, list[float]]:
    """Interleaved runs of ours and of the reference; returns ours, for the comparison over sizes."""
    where = f"{world.live:,} live"
    ours: dict[str, list[float]] = {}
    with api(world) as served:
        url = served.url
        for clients in (16, 64):
            http, bench = [], []
            refused = 0
            wrk(world, url, clients, 1)
            for number in range(rounds):
                report.say(f"binds: one at a time, {clients} clients, {where}, run {number + 1} of {rounds}")
                bound, bad = wrk(world, url, clients, seconds)
                refused += bad
                http.append(bound)
                bench.append(pgbench(world, clients, seconds))
            ours[f"single, {clients} clients"] = http
            name = f"single, {clients} clients, {where}"
            note = f"{refused} requests were refused" if refused else ""
            report.add(
                Figure("binds", name, "binds/s", http, "pgbench", bench, at_least=AT_LEAST_SINGLE, note=note)
            )
        bulk, raw = [], []
        for number in range(rounds):
            report.say(f"binds: bulk of {_BULK_ITEMS}, {where}, run {number + 1} of {rounds}")
            bulk.append(_bulk(world, url, bulk_rows))
            raw.append(copy(world, bulk_rows))
        ours["bulk"] = bulk
        report.add(Figure("binds", f"bulk, {where}", "binds/s", bulk, "COPY", raw, at_least=AT_LEAST_BULK))
    return ours


def compare(
    report: Report, small: tuple[int, dict[str, list[float]]], large: tuple[int, dict[str, list[float]]]
) -> None:
    """How much slower the same got between two sizes."""
    for name, values in large[1].items():
        base = [1e6 / value for value in small[1][name]]
        now = [1e6 / value for value in values]
        label = f"{name}, {large[0]:,} against {small[0]:,} live"
        report.add(Figure("binds", label, "µs a bind", now, f"{small[0]:,}", base, at_most=AT_MOST_SLOWER))


def wrk(world: World, url: str, clients: int, seconds: int) -> tuple[float, int]:
    """(binds a second, requests refused); a client sends its next request after the answer."""
    command = [
        "wrk",
        "-t1",
        f"-c{clients}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(SCRIPTS / "bind.lua"),
        url,
    ]
    header, seed = world.home / "bearer", str(random.randrange(10**9))
    header.write_text(world.bearer)  # in a file: arguments can be listed by others
    header.chmod(0o600)
    out = subprocess.run(
        [*command, "--", str(header), seed], capture_output=True, text=True, timeout=seconds + 30, check=True
    )
    found = _DONE.search(out.stdout)
    if found is None:
        raise RuntimeError(f"wrk said nothing of what it did:\n{out.stdout}{out.stderr}")
    bound, refused, took = (int(part) for part in found.groups())
    if not bound:
        raise RuntimeError(f"no bind went through; {refused} were refused")
    return bound / took * 1e6, refused


def _bulk(world: World, url: str, rows: int) -> float:
    rng = random.Random()
    bodies = []
    for _ in range(rows // _BULK_ITEMS):
        items = [
            {
                "mode": "AXYB",
                "a": f"+86138{rng.randrange(10**8):08d}",
                "b": f"+86139{rng.randrange(10**8):08d}",
                "order_id": f"bulk-{n}",
                "ttl": 3600,
            }
            for n in range(_BULK_ITEMS)
        ]
        bodies.append(json.dumps({"items": items}).encode())
    bound: list[int] = []

    def client() -> None:
        while True:
            try:
                body = bodies.pop()
            except IndexError:
                return
            request = urllib.request.Request(  # noqa: S310  # our own loopback URL
                f"{url}/v1/bindings/bulk",
                body,
                {
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {world.bearer}",
                    "Idempotency-Key": f"bulk-{rng.getrandbits(64):x}",
                },
            )
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                bound.append(answer.read().count(b'"status":201'))

    threads = [threading.Thread(target=client) for _ in range(_BULK_CLIENTS)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(bound) / (time.monotonic() - start)
