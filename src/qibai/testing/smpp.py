"""A carrier's message centre that speaks SMPP 3.4: it takes messages and says what became of them.

The protocol is that of the library smpp34; the sessions of our own links have no part in it.
"""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from socket import SOCK_STREAM
from types import TracebackType
from typing import Final, Self

import smpp34

from qibai.testing.ports import free_port

_UCS2: Final = 0x08
_HAS_HEADER: Final = 0x40  #: in ``esm_class``: the octets begin with a user data header (3GPP TS 23.040)
_IS_RECEIPT: Final = 0x04
_WANTS_RECEIPT: Final = 0x01  #: in ``registered_delivery``
_CLOSING_S: Final = 5.0  #: the longest wait for answers to receipts


@dataclass(frozen=True, slots=True)
class CentreMessage:
    """A short message that the platform submitted. ``id`` is the one that the centre gave it."""

    id: str
    source: str
    destination: str
    data_coding: int
    esm_class: int
    data: bytes

    @property
    def text(self) -> str:
        """The text of ``data`` without its header: UCS-2 by ``data_coding`` 8, else as ASCII."""
        body = self.data[self.data[0] + 1 :] if self.esm_class & _HAS_HEADER and self.data else self.data
        return body.decode("utf-16-be" if self.data_coding == _UCS2 else "ascii", "replace")


@dataclass
class MessageCentre:
    """A message centre on loopback; an asynchronous context manager that listens while it is open.

    It takes every account and password. ``stat`` is what its receipts say (``DELIVRD``, ``UNDELIV`` …), ""
    for none; ``refuse`` is the command status that it answers messages with, 0 to take them.
    """

    host: str = "127.0.0.1"
    port: int = 0  #: 0: any that is free; then the one that it has
    stat: str = "DELIVRD"
    refuse: int = 0
    messages: list[CentreMessage] = field(default_factory=list)
    _sessions: dict[str, smpp34.Esme] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self.port = self.port or free_port(self.host, SOCK_STREAM)
        self._changed = asyncio.Condition()
        self._ids = itertools.count(1)
        self._receipts: set[asyncio.Task[int]] = set()
        self._server = smpp34.Server(self.host, self.port, system_id="centre")
        await self._server.start()
        self._serving = asyncio.create_task(self._serve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._receipts:  # the library cannot end them any more while the interpreter ends
            await asyncio.wait(self._receipts, timeout=_CLOSING_S)
        for task in (self._serving, *self._receipts):
            task.cancel()
        await asyncio.gather(self._serving, *self._receipts, return_exceptions=True)
        await self._server.stop()

    async def bound(self) -> None:
        """Wait until the platform has bound in a way in which it can be delivered messages."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._sessions))

    async def received(self, count: int = 1) -> list[CentreMessage]:
        """Wait until ``count`` messages have come in all, and return all that have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    async def deliver(self, source: str, destination: str, text: str) -> int:
        """Hand the platform a message that a telephone sent. Returns its command status, 0 if it took it."""
        coding, data = (0, text.encode()) if text.isascii() else (_UCS2, text.encode("utf-16-be"))
        return await self._deliver(source, destination, data, data_coding=coding)

    async def _deliver(self, source: str, destination: str, data: bytes, **fields: int) -> int:
        await self.bound()
        session = next(reversed(self._sessions.values()))
        answer = await session.deliver_sm(destination, data, source_addr=source, **fields)  # type: ignore[arg-type]
        return int(answer.command_status)

    async def _serve(self) -> None:
        while True:
            event = await self._server.next()
            async with self._changed:
                match event:
                    case smpp34.Esme() if event.can_receive:
                        self._sessions[event.session_id] = event
                    case smpp34.Unbound():
                        self._sessions.pop(event.session_id, None)
                    case smpp34.SubmitSmEvent():
                        self._take(event)
                self._changed.notify_all()

    def _take(self, event: smpp34.SubmitSmEvent) -> None:
        if self.refuse:
            event.reject(self.refuse)
            return
        message = CentreMessage(
            f"{next(self._ids):08d}",
            event.source_addr,
            event.destination_addr,
            event.data_coding,
            event.esm_class,
            event.short_message,
        )
        event.accept(message.id)
        self.messages.append(message)
        if self.stat and event.registered_delivery & _WANTS_RECEIPT:
            now = f"{datetime.now(UTC):%y%m%d%H%M}"
            words = (
                f"id:{message.id} sub:001 dlvrd:001 submit date:{now} done date:{now} "
                f"stat:{self.stat} err:000 text:"
            )
            receipt = asyncio.create_task(
                self._deliver(message.destination, message.source, words.encode(), esm_class=_IS_RECEIPT)
            )
            self._receipts.add(receipt)
            receipt.add_done_callback(self._receipts.discard)
