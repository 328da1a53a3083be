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


@contextlib.asynccontextmanager
async def raw_centre(answer: bytes, receipt_id: str = "B8BE19") -> AsyncIterator[int]:
    """A message centre; the body of its answers is ``answer``, and a receipt follows each. Gives its port."""
    text = f"id:{receipt_id} sub:001 dlvrd:001 stat:DELIVRD err:000".encode()
    receipt = smpp34.DeliverSm(
        source_addr="8613900139000", destination_addr=X, short_message=text, esm_class=4, sequence_number=1
    ).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length, command, _status, sequence = HEADER.unpack(await reader.readexactly(HEADER.size))
                await reader.readexactly(length - HEADER.size)
                if command & 0x8000_0000:
                    continue
                submitted = command == Command.SUBMIT_SM
                writer.write(pdu(command | 0x8000_0000, sequence, answer if submitted else b"\0"))
                if submitted:
                    writer.write(receipt)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]
