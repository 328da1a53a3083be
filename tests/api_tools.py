"""A real API process for tests: its own home, port and database, a tenant with keys."""

import asyncio
import multiprocessing
import os
import signal
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import niquests
import psycopg

from database_tools import as_platform
from qibai.api.serve import run
from qibai.config import ApiConfig, BindingConfig, Config, StoreConfig, VoiceConfig
from qibai.core.numbering import Code
from qibai.core.roles import Role
from qibai.store import audit, codes, dual_rule, resources, tenants
from qibai.store.actors import operator_here
from qibai.store.anchors import Witness
from qibai.store.keys import Keyring
from qibai.testing.clock import follow
from qibai.testing.ports import free_port

A, B, C = "+8613800138001", "+8613900139002", "+8613700137003"
BIND = {"mode": "AXYB", "a": A, "b": B, "order_id": "order-1", "scene": "food"}


def wait_for(fact: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when ``fact`` holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@dataclass(frozen=True)
class Tenant:
    name: str
    id: int
    key: tenants.NewApiKey


def _child(config: Config, log: Path, clock: Path | None) -> None:
    if clock is not None:
        follow(str(clock))
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    run(config)


def one_person(api: "Api") -> None:
    """Let one person do alone what takes two, as `qibai dual rule 1` does."""

    async def make() -> None:
        witness = Witness.of(api.config, api.keyring)
        async with (
            await psycopg.AsyncConnection.connect(api.config.store.dsn, autocommit=True) as conn,
            audit.acts(conn, witness),
        ):
            await dual_rule.set_rule(conn, api.keyring, operator_here("test"), 1, {})

    asyncio.run(make())


class Api:
    """The server, and what a test needs to talk to it."""

    def __init__(
        self, home: Path, dsn: str, *, workers: int = 1, clock: Path | None = None, **api: Any
    ) -> None:
        """``clock``: the file of a simulated time for the pilot's rules, see ``qibai.testing.clock``."""
        self.clock = clock
        self.dsn = dsn
        self.config = Config(
            home=home,
            node="test",
            store=StoreConfig(dsn=as_platform(dsn)),
            api=ApiConfig(port=free_port("127.0.0.1", socket.SOCK_STREAM), workers=workers, **api),
            binding=BindingConfig(),
            voice=VoiceConfig(media_ng_port=free_port("127.0.0.1")),  # nobody's: others may run rtpengine
        )
        self.config.run_dir.mkdir(parents=True, exist_ok=True)
        self.log = home / "api.log"
        self.keyring = Keyring.load_or_create(self.config.key_file)
        self.process: Any = None

    @property
    def url(self) -> str:
        scheme = "https" if self.config.api.tls_cert else "http"
        return f"{scheme}://127.0.0.1:{self.config.api.port}"

    def start(self) -> "Api":
        spawn = multiprocessing.get_context("spawn")
        self.process = spawn.Process(target=_child, args=(self.config, self.log, self.clock))
        self.process.start()
        wait_for(self.healthy, 60.0)
        return self

    def healthy(self) -> bool:
        assert self.process.is_alive(), self.log.read_text()
        try:
            context = ssl.create_default_context(cafile=self.config.api.tls_cert or None)
            with urllib.request.urlopen(self.url + "/healthz", timeout=1, context=context):  # noqa: S310
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """SIGTERM, and a clean end."""
        if self.process is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.join(20)
            assert not self.process.is_alive(), "the API did not stop"

    def tenant(self, name: str, code: str | None = None, kind: Role = Role.TENANT, codes_: int = 1) -> Tenant:
        """A tenant with a key, and codes from ``code`` on."""

        async def make() -> Tenant:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as conn:
                made = await tenants.add_tenant(conn, name)
                if code is not None:
                    first = Code.parse(code).value
                    await codes.add_codes(conn, [Code(first + i) for i in range(codes_)], tenant_id=made.id)
                return Tenant(name, made.id, await tenants.add_key(conn, self.keyring, made.id, kind))

        return asyncio.run(make())

    def operator(self, person: str = "wang") -> Tenant:
        """An operator's key."""
        return self.person(person, Role.OPERATOR)

    def person(self, name: str, role: Role) -> Tenant:
        """An operator's or auditor's key."""

        async def make() -> Tenant:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as conn:
                return Tenant(name, 0, await tenants.add_key(conn, self.keyring, kind=role, person=name))

        return asyncio.run(make())

    def platform_key(self, name: str) -> Tenant:
        """A key of an application platform that is there already."""

        async def make() -> Tenant:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as conn:
                (found,) = await resources.list_platforms(conn, name)
                key = await tenants.add_key(conn, self.keyring, kind=Role.PLATFORM, platform_id=found.id)
                return Tenant(name, 0, key)

        return asyncio.run(make())

    def sql(self, query: str, *args: Any) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            cur = conn.execute(query, args)  # type: ignore[arg-type]
            return cur.fetchall() if cur.description else []

    def call(
        self, who: Tenant | None, method: str, path: str, body: Any = None, **headers: str
    ) -> niquests.Response:
        """One request with a bearer key; header names with ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent["Authorization"] = f"Bearer {who.key.bearer}"
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        return niquests.request(method, self.url + path, data=data, headers=sent, timeout=30)

    def bind(self, who: Tenant, **more: Any) -> dict[str, Any]:
        """A new binding."""
        answer = self.call(who, "POST", "/v1/bindings", BIND | more)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made
