"""SMPP octet by octet, for what no well-behaved peer would send."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import smpp34

from qibai.messaging.smpp.wire import HEADER, Command, pdu, write_bind
from smpp_tools import SECRET, WAIT_S, X

BIND = write_bind(Command.BIND_TRANSCEIVER, "peer", SECRET)
ENQUIRE = pdu(Command.ENQUIRE_LINK, 7)
SUBMIT = smpp34.SubmitSm(
    source_addr="13800138000", destination_addr=X, short_message=b"hi", sequence_number=8
).encode()


@dataclass
class Raw:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def read(self) -> tuple[int, int, int]:
        """The next PDU's command, status and sequence number; zeros at the end of the connection."""
        async with asyncio.timeout(WAIT_S):
            try:
                length, command, status, sequence = HEADER.unpack(await self.reader.readexactly(HEADER.size))
                await self.reader.readexactly(length - HEADER.size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, 0, 0
        return command, status, sequence

    async def until(self, command: int) -> int:
        """The status of the next such PDU."""
        while (found := await self.read())[0] != command:
            assert found[0], "the connection was closed"
        return found[1]


@contextlib.asynccontextmanager
async def raw(port: int, *, bound: bool = False) -> AsyncIterator[Raw]:
    made = Raw(*await asyncio.open_connection("127.0.0.1", port))
    try:
        if bound:
            made.send(BIND)
            assert await made.until(Command.BIND_TRANSCEIVER | 0x8000_0000) == 0
        yield made
    finally:
        made.writer.close()
        with contextlib.suppress(ConnectionError):
            await made.writer.wait_closed()
