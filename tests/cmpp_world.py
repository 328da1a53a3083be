"""Two carriers round the real gateway, on CMPP: A's connects to us, we to B's; either may be on SMPP."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from store_rows import add_route

from gateway_tools import states, until
from qibai.config import Config, MessageLink, MessagingConfig, StoreConfig
from qibai.core.numbering import Code, Msisdn
from qibai.messaging.gateway import Gateway
from qibai.store.keys import Keyring
from qibai.testing.cmpp import (
    DELIVER,
    SUBMIT,
    CmppPeer,
    Ismg,
    ismg,
    report,
    result,
    sp,
    write,
)
from qibai.testing.ports import free_port, own_network
from smpp_tools import password

A, B, STRANGER = Msisdn("+8615273940618"), Msisdn("+8618640927351"), Msisdn("+8617391058264")
X = Code(12345678).number(42)
NORTH_AT, SOUTH_AT = f"{own_network()}.44.2", f"{own_network()}.44.3"
LONG = "订单已送达，请到门口取件。" * 25
BOTH = pytest.mark.parametrize("version", [2, 3])
_IDS = itertools.count(1)


@dataclass
class World:
    """South is A's carrier and connects to us; north is B's, and we connect to it."""

    config: Config
    dsn: str
    port: int

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[Gateway]:
        gateway, stop = Gateway(self.config), asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        try:
            await until(lambda: task.done() or listens(gateway))
            yield gateway
        finally:
            stop.set()
            await task

    def south(self, version: int = 3, **fields: Any) -> contextlib.AbstractAsyncContextManager[CmppPeer]:
        return sp(self.port, version, account="902345", local=SOUTH_AT, **fields)

    def north(self, **fields: Any) -> contextlib.AbstractAsyncContextManager[Ismg]:
        return ismg(host=NORTH_AT, port=self.config.messaging.links[0].port, **fields)

    async def all_end(self, state: str, count: int = 1) -> None:
        await until(lambda: sorted(states(self.dsn).values()) == [state] * count)


def listens(gateway: Gateway) -> bool:
    states = [link.state for link in gateway.stats().links]
    return bool(states) and "down" not in states


def world(
    folder: Path, dsn: str, keyring: Keyring, *, north: str = "cmpp", south: str = "cmpp", **link: Any
) -> World:
    """A writes to X and reaches B, who sees X and can answer."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        id = add_route(conn, keyring, dialled=X, caller=A, callee=B)
        add_route(conn, keyring, dialled=X, caller=B, callee=A, binding_id=id)
    secret, port = password(folder), free_port("127.0.0.1")
    more: dict[str, Any] = {"password_file": secret, **link}
    to_north = MessageLink(
        name="north",
        protocol=north,  # type: ignore[arg-type]
        host=NORTH_AT,
        port=free_port(NORTH_AT),
        account="901234",
        prefixes=[B.national[:3]],
        **more,
    )
    from_south = MessageLink(
        name="south",
        protocol=south,  # type: ignore[arg-type]
        role="server",
        account="902345",
        prefixes=[A.national[:3]],
        **more,
    )
    messaging = MessagingConfig(
        sip=False,
        links=[to_north, from_south],
        parts_wait_s=30,
        pair_per_minute=0,
        number_per_minute=0,
        **{f"{south}_port": port},
    )
    return World(Config(home=folder, node="n1", store=StoreConfig(dsn=dsn), messaging=messaging), dsn, port)


def submit(version: int, text: str | bytes, **fields: Any) -> bytes:
    """A writes to X; what else a Submit may hold of numbers, too."""
    given = {
        "Src_Id": A.national,
        "Dest_terminal_Id": str(X),
        "Msg_Content": text.encode("utf-16-be") if isinstance(text, str) else text,
        "Msg_Fmt": 8,
        "Registered_Delivery": 1,
        "Fee_terminal_Id": A.national,
        "Service_Id": "SOUTHS",
        "Msg_src": "902345",
        "LinkID": f"link{A.national}",
    }
    return write(SUBMIT, version, given | fields)


def deliver(version: int, content: bytes, **fields: Any) -> bytes:
    """B's carrier hands us what B writes to X."""
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    given = {
        "Msg_Id": now.month << 60 | now.day << 55 | next(_IDS),
        "Src_terminal_Id": B.national,
        "Dest_Id": str(X),
        "Msg_Content": content,
        "LinkID": f"link{B.national}",
    }
    return write(DELIVER, version, given | fields)


async def told(north: Ismg, msg_id: int, stat: str = "DELIVRD") -> None:
    """B's carrier says what became of a part."""
    peer = await north.bound()
    content = report(peer.version, msg_id, stat, B.national)
    answer = await peer.ask(DELIVER, deliver(peer.version, content, Registered_Delivery=1))
    assert answer[8:] == result(peer.version, 0)


async def up(gateway: Gateway, *names: str) -> None:
    await until(lambda: {link.name for link in gateway.stats().links if link.state == "up"} >= set(names))


def reports(south: CmppPeer) -> list[dict[str, Any]]:
    """Those that A's carrier was delivered, read."""
    found = []
    for got in south.delivered():
        if got["Registered_Delivery"]:
            content = got["Msg_Content"]
            read = {"about": content[:8], "stat": content[8:15].decode(), "of": content[35:-4].rstrip(b"\0")}
            found.append(got | read)
    return found


def texts(south: CmppPeer) -> list[dict[str, Any]]:
    return [got for got in south.delivered() if not got["Registered_Delivery"]]
