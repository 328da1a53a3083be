"""Moving old bindings to 700 numbers: the whole command, beside a COPY of just the rows that it wrote."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.figures import Figure, Report
from bench.world import World

AT_LEAST: Final = 0.25
AT_MOST_GROWN: Final = 1.1
_PER_X: Final = 100  #: bindings that share an old number
#: The tables that are written, and the order in which their rows came.
_TABLES: Final = {
    "existing_binding": "id",
    "existing_route": "binding_id",
    "binding": "id",
    "route": "binding_id",
}


def run(world: World, report: Report, *, rows: int) -> None:
    """Move a tenth of ``rows`` first, for the memory to be held against; then ``rows``, and copy these."""
    small, _ = _move(world, rows // 10, first=0)
    _empty(world)
    report.say(f"migration: {rows:,} bindings")
    memory, took = _move(world, rows, first=rows)
    name = f"move {rows:,} old bindings, each with a 700 binding"
    copied = _copy(world, rows)
    figure = Figure("migration", name, "bindings/s", [rows / took], "COPY", [copied], at_least=AT_LEAST)
    report.add(figure)
    base = f"with {rows // 10:,}"
    report.add(Figure("migration", "memory, the most", "MB", [memory], base, [small], at_most=AT_MOST_GROWN))


def _move(world: World, rows: int, *, first: int) -> tuple[float, float]:
    """(most memory in MB, seconds) of the command, from its start to its end."""
    file = world.home / f"old-{rows}.jsonl"
    _write(file, rows, first)
    command = [sys.executable, "-m", "qibai", "migrate-bindings", "execute", str(file), "--tenant", "bench"]
    env = {**os.environ, "QIBAI_HOME": str(world.home)}
    start = time.monotonic()
    child = subprocess.Popen([*command, "--json"], env=env, stdout=subprocess.PIPE, text=True)
    out = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    file.unlink()
    if child.returncode or json.loads(out)["moved"] != rows:
        raise RuntimeError(f"not all was moved: {out}")
    return usage.ru_maxrss / 1024, took


def _write(file: Path, rows: int, first: int) -> None:
    """An export of our own shape, in which nobody stands twice."""
    end = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    with file.open("w") as out:
        for place in range(first, first + rows):
            a, b = place * 7_919 % 10**8, place * 104_729 % 10**8
            out.write(
                f'{{"x":"170{place // _PER_X:08d}","a":"138{a:08d}","b":"139{b:08d}",'
                f'"order_id":"old-{place}","binding_id":"{place}","expires_at":"{end}"}}\n'
            )


def _empty(world: World) -> None:
    with world.connect() as conn:
        conn.execute(f"TRUNCATE {', '.join(_TABLES)}")
        conn.execute("CHECKPOINT")


def _copy(world: World, rows: int) -> float:
    """Bindings a second: server-side COPY, in one transaction, of all rows that are there, as they came."""
    folder = world.server_folder()
    with world.connect() as conn:
        for table, order in _TABLES.items():
            conn.execute(
                f"COPY (SELECT * FROM {table} ORDER BY {order}) TO '{folder}/{table}' (FORMAT binary)"
            )
    _empty(world)
    with world.connect() as conn:
        start = time.monotonic()
        with conn.transaction():
            for table in _TABLES:
                conn.execute(f"COPY {table} FROM '{folder}/{table}' (FORMAT binary)")
        took = time.monotonic() - start
    for table in _TABLES:
        (folder / table).unlink()
    return rows / took
