"""SMPP peers that nobody here wrote, links of ours to talk to them, and a gateway as small as can be."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from qibai.config import MessageLink, MessagingConfig
from qibai.core.messages import MessageReason
from qibai.core.text import Encoding, Part, encode, fitting
from qibai.messaging.link import Link, Outgoing, Receipt, Received, Refused, Taken
from qibai.messaging.smpp import SmppClient, SmppServer

PEER = Path(__file__).parent / "peers" / "node-smpp" / "peer.js"
A, B, X = "+8613800138000", "+8613900139000", "700000000010001"
WAIT_S = 120.0
SECRET = "secret"
_IDS = itertools.count(1)


def receipt_dates() -> str:
    """The dates in a receipt that a peer writes just now, in UTC."""
    now = datetime.now(UTC)
    return f"submit date:{now - timedelta(minutes=1):%y%m%d%H%M} done date:{now:%y%m%d%H%M}"


async def eventually(holds: Callable[[], Any], what: str = "") -> Any:
    """Wait until ``holds`` gives something true, and return it."""
    async with asyncio.timeout(WAIT_S):
        while not (found := holds()):  # noqa: ASYNC110 - facts of other processes
            await asyncio.sleep(0.01)
        return found


@dataclass
class Inbox:
    """Takes what comes; ``refuse`` and ``gate`` make it refuse or wait."""

    messages: list[Received] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    refs: set[str] = field(default_factory=set)  #: of our own parts; others' receipts are unknown
    unknown: list[Receipt] = field(default_factory=list)
    early: asyncio.Event | None = None  #: a receipt that is unknown waits for it
    refuse: MessageReason | None = None
    gate: asyncio.Event | None = None
    fails: Exception | None = None

    async def message(self, received: Received) -> Taken | Refused:
        self.messages.append(received)
        if self.gate is not None:
            await self.gate.wait()
        return Refused(self.refuse) if self.refuse else Taken(next(_IDS))

    async def is_ours(self, link: str, receipt: Receipt) -> bool:
        return not self.refs.isdisjoint({receipt.ref, *receipt.others})

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        if self.fails is not None:
            raise self.fails
        known = receipt.ref in self.refs
        if not known and self.early is not None:
            self.unknown.append(receipt)
            await self.early.wait()
            known = receipt.ref in self.refs
        (self.receipts if known else self.unknown).append(receipt)
        return known


class Peer:
    """``peer.js`` in one role. ``events`` is every PDU that it got."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append(json.loads(line))

    def got(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        return [
            found
            for found in self.events
            if found["event"] == event and all(found.get(key) == value for key, value in fields.items())
        ]

    async def expect(self, event: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """The newest such event, once there are ``count``."""
        try:
            found = await eventually(lambda: len(got := self.got(event, **fields)) >= count and got[-1])
        except TimeoutError:
            raise AssertionError(f"no {event} {fields}: {[e['event'] for e in self.events]}") from None
        return dict(found)

    def order(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")

    async def hold(self, *commands: str) -> None:
        """From now on leave these without an answer."""
        count = len(self.got("held")) + 1
        self.order(hold=commands)
        await self.expect("held", count=count)

    def send(self, command: str, **fields: Any) -> None:
        self.order(send=command, fields=fields)


@contextlib.asynccontextmanager
async def node(role: str, **config: Any) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(PEER),
        role,
        json.dumps(config),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    peer = Peer(process)
    try:
        yield peer
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def smsc(port: int = 0, **config: Any) -> AsyncIterator[tuple[Peer, int]]:
    """A message centre on node, and its port."""
    async with node("smsc", port=port, **config) as peer:
        yield peer, (await peer.expect("listening"))["port"]


@contextlib.asynccontextmanager
async def running(*links: Link, inbox: Inbox | None = None) -> AsyncIterator[Inbox]:
    """Run links until the end of the block."""
    inbox, stop = inbox or Inbox(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for link in links:
            group.create_task(link.run(inbox, stop))
        try:
            yield inbox
        finally:
            stop.set()


def password(folder: Path, secret: str = SECRET) -> str:
    path = folder / f"password-{secret}"
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
    return str(path)


def client(folder: Path, port: int, **fields: Any) -> SmppClient:
    given: dict[str, Any] = {
        "name": "centre",
        "protocol": "smpp",
        "host": "127.0.0.1",
        "port": port,
        "account": "qibai",
        "password_file": password(folder),
    }
    return SmppClient(MessageLink(**given | fields))


def server(folder: Path, *accounts: dict[str, Any], **config: Any) -> SmppServer:
    """One account ``peer`` with password ``secret`` unless ``accounts`` are given."""
    links = [
        MessageLink(
            **{
                "name": "peer",
                "protocol": "smpp",
                "role": "server",
                "account": "peer",
                "password_file": password(folder),
                "sessions": 4,
            }
            | account
        )
        for account in accounts or ({},)
    ]
    return SmppServer(MessagingConfig(**config), links)


def esme(port: int, **config: Any) -> contextlib.AbstractAsyncContextManager[Peer]:
    """An ESME on node that binds to our server."""
    given = {"port": port, "bind": "transceiver", "system_id": "peer", "password": SECRET}
    return node("esme", **given | config)


async def listening(made: SmppServer) -> int:
    await eventually(lambda: made.port)
    return made.port


def outgoing(text: str | Part, *, valid_s: int = 600) -> Outgoing:
    """From X to B."""
    encoding = fitting(text) if isinstance(text, str) else Encoding.BINARY
    part = Part(encode(text, encoding), encoding) if isinstance(text, str) else text
    return Outgoing(1, next(_IDS), X, B, part, datetime.now(UTC) + timedelta(seconds=valid_s))
