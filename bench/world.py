"""A platform of the bench's own: folder, embedded PostgreSQL, keys, a tenant, codes, live bindings."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import psycopg

from qibai.config import Config, load
from qibai.core.ids import new_id
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.store import tenants
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.keys import Keyring, binding_aad
from qibai.store.upgrade import upgrade
from qibai.testing.ports import free_port

FIRST_CODE = 10_000_000
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A bound pair: ``caller`` dials ``called``."""

    called: Number700
    caller: Msisdn
    callee: Msisdn


class World:
    """Use ``World.open()``; everything goes away with it."""

    def __init__(self, home: Path, api_workers: int) -> None:
        self.home = home
        self.api_workers = api_workers
        self.ports = free_ports(6)
        self.set_media(False)
        self.server = EmbeddedPostgres(self.config())
        self.tenant_id = 0
        self.bearer = ""
        self.codes = 0
        self.live = 0
        self.paired = 0

    def set_media(self, media: bool) -> None:
        """Write the configuration; ``media``: anchored by rtpengine."""
        (self.home / "qibai.toml").write_text(
            "\n".join(
                [
                    'node = "bench"',
                    "[api]",
                    f"port = {self.ports[0]}",
                    f"workers = {self.api_workers}",
                    "[voice]",
                    f"udp_port = {self.ports[1]}",
                    "tcp_port = 0",
                    "workers = 2",
                    "probe_interval_s = 0",
                    f"media_ng_port = {self.ports[2]}",
                    f"media = {str(media).lower()}",
                    "[[voice.peers]]",
                    'name = "sipp"',
                    'host = "127.0.0.1"',
                    f"port = {self.ports[4]}",
                    'sources = ["127.0.0.1"]',
                ]
            )
        )

    @classmethod
    @contextlib.contextmanager
    def open(cls, api_workers: int = 1) -> Iterator["World"]:
        home = Path(tempfile.mkdtemp(prefix="qibai-bench-"))
        home.chmod(0o755)
        world = cls(home, api_workers)
        try:
            world.server.start()
            upgrade(world.config())
            world.keyring = Keyring.load_or_create(world.config().key_file)
            asyncio.run(world._tenant())
            yield world
        finally:
            world.server.stop()
            shutil.rmtree(home, ignore_errors=True)

    keyring: Keyring

    @property
    def dsn(self) -> str:
        return self.server.dsn

    def config(self) -> Config:
        return load(self.home, environ={})

    def database_pid(self) -> int:
        pid = self.server.running_pid()
        assert pid is not None, "PostgreSQL does not run"
        return pid

    def postgres_program(self, name: str) -> str:
        """A client program that belongs to the embedded server."""
        return str(Path(self.server.command()[-3]).with_name(name))

    def server_folder(self) -> Path:
        """A folder that the server, which may run as another user, can read and write."""
        folder = self.home / "copy"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        return folder

    async def _tenant(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as conn:
            tenant = await tenants.add_tenant(conn, "bench")
            self.tenant_id = tenant.id
            self.bearer = (await tenants.add_key(conn, self.keyring, tenant.id)).bearer

    def connect(self) -> psycopg.Connection[Any]:
        """As the owner: filling, copying and check-points are not what the platform may do."""
        return psycopg.connect(self.server.owner_dsn, autocommit=True)

    def grow(self, live: int, spare_codes: int = 100) -> None:
        """Fill up to ``live`` live AXYB bindings, each with two route rows, and leave codes to bind on."""
        with self.connect() as conn:
            wanted = (live + 9_999) // 10_000 + spare_codes
            conn.execute(
                "INSERT INTO code (code, tenant_id) "
                "SELECT %s + i, %s FROM generate_series(%s::int, %s::int) i",
                [FIRST_CODE, self.tenant_id, self.codes, wanted - 1],
            )
            self.codes = max(self.codes, wanted)
            span = {"first": self.live, "last": live - 1, "code": FIRST_CODE, "tenant": self.tenant_id}
            conn.execute(_FILL_BINDINGS, span)
            conn.execute(_FILL_ROUTES, span)
            conn.execute("VACUUM ANALYZE")
            conn.execute("CHECKPOINT")
        self.live = max(self.live, live)

    def pairs(self, count: int) -> list[Pair]:
        """Bind ``count`` more pairs with real seals, so that calls can be made; one call direction each."""
        keyring, rows, made = self.keyring, [], []
        ends = datetime.now(UTC) + timedelta(days=1)
        first, self.paired = self.paired, self.paired + count
        for i in range(first, first + count):
            number = Code(FIRST_CODE + i % max(self.codes, 1)).number(i // max(self.codes, 1) % 10_000)
            pair = Pair(number, Msisdn(f"+86138{i:08d}"), Msisdn(f"+86139{i:08d}"))
            id = new_id()
            aad = binding_aad(number.code.value, id)
            seals = keyring.seal(str(pair.callee), aad), keyring.seal(str(pair.caller), aad)
            key = keyring.blind(pair.caller)
            base = (
                number.code.value,
                number.serial,
                key,
                id,
                self.tenant_id,
                number.serial,
                3600,
                ends,
                ends,
            )
            rows.append((*base, *seals))
            made.append(pair)
        columns = "code, serial, caller_key, binding_id, tenant_id, shown, max_call_s, ends_at, free_at"
        columns += ", callee, caller"
        with self.connect() as conn, conn.cursor().copy(f"COPY route ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return made


_SEAL = "sha256(int8send(i * 2 + {})) || substring(sha256(int8send(i * 3 + {})) for 12)"
_FILL_BINDINGS = f"""
INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, x, y, a, b, max_call_s, created_at,
                     expires_at)
SELECT %(code)s + i / 10000, i + 1, %(tenant)s, 'AXYB', 'parcel', 'order-' || i, i %% 10000,
       (i + 5000) %% 10000, {_SEAL.format(1, 1)}, {_SEAL.format(2, 2)}, 3600, now(),
       now() + interval '30 days'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) i"""
_FILL_ROUTES = f"""
INSERT INTO route (code, serial, caller_key, binding_id, tenant_id, shown, max_call_s, ends_at, free_at,
                   callee, caller)
SELECT %(code)s + i / 10000, (i + side * 5000) %% 10000, substring(sha256(int8send(i * 2 + side)) for 16),
       i + 1, %(tenant)s, (i + 5000 - side * 5000) %% 10000, 3600, now() + interval '30 days',
       now() + interval '31 days', {_SEAL.format(1, 1)}, {_SEAL.format(2, 2)}
FROM generate_series(%(first)s::bigint, %(last)s::bigint) i, generate_series(0, 1) side"""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that this process alone uses."""
    return [free_port("127.0.0.1") for _ in range(count)]


@contextlib.contextmanager
def process(
    command: list[str], log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, its output in ``log``, ended at the end."""
    out: IO[bytes]
    with log.open("ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def part(module: str) -> list[str]:
    """The command that runs one of our own processes, given its home by ``QIBAI_HOME``."""
    return [sys.executable, "-c", f"from qibai.config import load; from {module} import run; run(load())"]


@dataclass(frozen=True, slots=True)
class Api:
    """The API under way: where it is, and the process that its workers come from."""

    url: str
    pid: int


@contextlib.contextmanager
def api(world: World) -> Iterator[Api]:
    """`qibai api` on this world, once it is ready."""
    url = f"http://127.0.0.1:{world.ports[0]}"
    command = part("qibai.api.serve")
    env = {**os.environ, "QIBAI_HOME": str(world.home)}
    with process(command, world.home / "api.log", env) as child:
        wait_until(
            lambda: child.poll() is None and _answers(f"{url}/readyz"), "the API", world.home / "api.log"
        )
        yield Api(url, child.pid)


def wait_until(fact: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not fact():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  # our own loopback URL
            return bool(answer.status == 200)
    except OSError:
        return False
