"""What binds are held against: PostgreSQL alone, writing the same rows with nothing to compute."""

import re
import subprocess
import time
from pathlib import Path
from typing import Final

from bench.world import FIRST_CODE, World

SCRIPTS: Final = Path(__file__).parent / "scenarios"
_TPS: Final = re.compile(r"tps = ([0-9.]+)")


def pgbench(world: World, clients: int, seconds: int) -> float:
    """Binds a second, one transaction each: binding, two routes, idempotency key in one statement."""
    script = world.home / "bind.sql"
    text = (SCRIPTS / "bind.sql").read_text()
    script.write_text(
        f"\\set code {FIRST_CODE} + random(0, {world.codes - 1})\n"
        + text.replace("TENANT", str(world.tenant_id))
    )
    program = world.postgres_program("pgbench")
    command = [
        program,
        "-n",
        "-M",
        "prepared",
        "-c",
        str(clients),
        "-j",
        "2",
        "-T",
        str(seconds),
        "-f",
        str(script),
    ]
    out = subprocess.run(
        [*command, world.dsn], capture_output=True, text=True, timeout=seconds + 30, check=True
    )
    found = _TPS.search(out.stdout)
    if found is None:
        raise RuntimeError(f"pgbench printed no rate:\n{out.stdout}{out.stderr}")
    return float(found[1])


def copy(world: World, rows: int) -> float:
    """Binds a second: server-side COPY, in one transaction, of bindings and routes that lie ready in files.

    No idempotency keys are among them, which a bulk over HTTP writes as well.
    """
    folder = world.server_folder()
    with world.connect() as conn:
        columns = {
            "binding": "code, id, tenant_id, mode, scene, order_id, x, y, a, b, max_call_s, created_at, "
            "expires_at",
            "route": "code, serial, caller_key, binding_id, tenant_id, shown, max_call_s, ends_at, free_at, "
            "callee, caller",
        }
        conn.execute("CREATE TEMP TABLE ready AS SELECT * FROM binding WHERE false")
        conn.execute("CREATE TEMP TABLE ready_route AS SELECT * FROM route WHERE false")
        span = {"rows": rows, "code": FIRST_CODE, "codes": world.codes, "tenant": world.tenant_id}
        conn.execute(_READY, span)
        conn.execute(_READY_ROUTE, span)
        for table, source in (("binding", "ready"), ("route", "ready_route")):
            conn.execute(
                f"COPY (SELECT {columns[table]} FROM {source}) TO '{folder}/{table}' (FORMAT binary)"
            )
        start = time.monotonic()
        with conn.transaction():
            for table, names in columns.items():
                conn.execute(f"COPY {table} ({names}) FROM '{folder}/{table}' (FORMAT binary)")
        took = time.monotonic() - start
    return rows / took


_SEAL = "sha256(int8send({n})) || substring(sha256(int8send({n} + 1)) for 12)"
_READY = f"""
INSERT INTO ready (code, id, tenant_id, mode, scene, order_id, x, y, a, b, max_call_s, created_at, expires_at)
SELECT %(code)s + random() * (%(codes)s - 1), (random() * 9e18)::bigint, %(tenant)s, 'AXYB', 'parcel',
       'copy-' || i, i %% 10000, (i + 5000) %% 10000, {_SEAL.format(n="i")}, {_SEAL.format(n="i + 7")}, 3600,
       now(), now() + interval '1 hour'
FROM generate_series(1::bigint, %(rows)s::bigint) i"""
_READY_ROUTE = """
INSERT INTO ready_route (code, serial, caller_key, binding_id, tenant_id, shown, max_call_s, ends_at, free_at,
                         callee, caller)
SELECT code, CASE side WHEN 0 THEN x ELSE y END, substring(sha256(int8send(id + side)) for 16), id, tenant_id,
       CASE side WHEN 0 THEN y ELSE x END, 3600, expires_at, expires_at + interval '1 day', a, b
FROM ready, generate_series(0, 1) side"""
