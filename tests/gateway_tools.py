"""What tests of the gateway share: a running gateway, peers, bindings, and waiting for facts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from store_rows import A, B, X, add_route, group_ends

from qibai.config import Config, MessageLink, MessagingConfig, StoreConfig
from qibai.core.ids import new_id
from qibai.core.text import Part, encode, fitting
from qibai.messaging.gateway import Gateway
from qibai.store.keys import Keyring
from qibai.testing.messages import LoopPeer, links

FACTORIES = {"smpp": links}


def config_for(home: Path, dsn: str, ports: dict[str, int], *, node: str = "n1", **messaging: Any) -> Config:
    """A gateway with one loop link for each peer, named so."""
    settings: dict[str, Any] = {"sip": False, "pair_per_minute": 0, "number_per_minute": 0}
    made = [
        MessageLink(name, protocol="smpp", host="127.0.0.1", port=port, window=16)
        for name, port in ports.items()
    ]
    return Config(
        home=home,
        node=node,
        store=StoreConfig(dsn=dsn),
        messaging=MessagingConfig(**({"links": made} | settings | messaging)),
    )


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Gateway]:
    """A gateway in this process; stopped in order at the end."""
    gateway = Gateway(config, FACTORIES)
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    try:
        yield gateway
    finally:
        stop.set()
        await task


@asynccontextmanager
async def peer(on_submit: Callable[[Any], Any] | None = None) -> AsyncIterator[tuple[LoopPeer, int]]:
    made = LoopPeer(on_submit)
    port = await made.start()
    try:
        yield made, port
    finally:
        await made.stop()


def text_part(text: str) -> Part:
    encoding = fitting(text)
    return Part(encode(text, encoding), encoding)


async def until(fact: Callable[[], Any], within_s: float = 90.0) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + within_s
    while not (found := fact()):
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)
    return found


def states(dsn: str) -> dict[int, str]:
    """Each message's state by id."""
    with psycopg.connect(dsn) as conn:
        return dict(conn.execute("SELECT id, state FROM message").fetchall())


async def sent(carrier: LoopPeer, text: str, ref: str = "r1", **more: Any) -> Any:
    """A writes to X."""
    return await carrier.send(ref, A.national, str(X), text_part(text), **more)


def bound(dsn: str, keyring: Keyring, **more: Any) -> int:
    """A binding by which A writes to X and reaches B, who sees X and can answer."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        id = new_id()
        group_ends(conn, keyring, X, id, more.get("ends_in", timedelta(hours=1)))  # the binding itself
        add_route(conn, keyring, binding_id=id, **more)
        add_route(conn, keyring, dialled=X, caller=B, callee=A, binding_id=id)
        return id
