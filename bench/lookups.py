"""Latency of a routing look-up as a Kamailio worker makes it."""

import random
import statistics
import time

from bench.figures import Figure, Report
from bench.world import World
from qibai.store.routes import RouteReader


def run(world: World, report: Report, *, count: int) -> None:
    """p50 and p99 of finding a route and opening its callee, beside a bare SELECT 1 in the same session."""
    pairs = world.pairs(2_000)
    reader = RouteReader(world.dsn, world.keyring, 200)
    try:
        for pair in pairs:  # connections, plans and pages are there
            reader.find(pair.called, pair.caller)
        chosen = random.choices(pairs, k=count)
        spent, bare = [], []
        for pair in chosen:
            start = time.perf_counter_ns()
            record = reader.find(pair.called, pair.caller)
            assert record is not None
            callee = reader.open_callee(record)
            spent.append((time.perf_counter_ns() - start) / 1000)
            assert callee == pair.callee
            start = time.perf_counter_ns()
            reader._session.query(b"one", b"SELECT 1", [])
            bare.append((time.perf_counter_ns() - start) / 1000)
    finally:
        reader.close()
    where = f"{world.live:,} live bindings"
    for name, at in (("p50", 50), ("p99", 99)):
        value, base = (statistics.quantiles(series, n=100)[at - 1] for series in (spent, bare))
        report.add(Figure("lookups", f"look-up {name}, {where}", "µs", [value], f"SELECT 1, {name}", [base]))
