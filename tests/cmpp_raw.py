"""CMPP octet by octet, for what no well-behaved peer would send."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

from qibai.messaging.cmpp.wire import pdu
from qibai.testing.cmpp import CONNECT, RESP, SUBMIT, WAIT_S, connect, write

ACTIVE = pdu(8, 7)
HELLO = {"Src_Id": "13800138000", "Dest_terminal_Id": "700000000010001", "Msg_Content": b"hi"}


def submit(sequence: int, version: int = 3) -> bytes:
    return pdu(SUBMIT, sequence, write(SUBMIT, version, HELLO))


@dataclass
class Raw:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def read(self) -> tuple[int, int, bytes]:
        """The next PDU's command, sequence number and body; zeros at the end of the connection."""
        async with asyncio.timeout(WAIT_S):
            try:
                length, command, sequence = struct.unpack(">III", await self.reader.readexactly(12))
                return command, sequence, await self.reader.readexactly(length - 12)
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, 0, b""

    async def until(self, command: int) -> bytes:
        """The body of the next such answer."""
        while (found := await self.read())[0] != command | RESP:
            assert found[0], "the connection was closed"
        return found[2]


@contextlib.asynccontextmanager
async def raw(port: int, *, bound: bool = False, version: int = 3) -> AsyncIterator[Raw]:
    made = Raw(*await asyncio.open_connection("127.0.0.1", port))
    try:
        if bound:
            made.send(pdu(CONNECT, 1, connect(version)))
            assert int.from_bytes((await made.until(CONNECT))[:-17], "big") == 0
        yield made
    finally:
        made.writer.close()
        with contextlib.suppress(ConnectionError):
            await made.writer.wait_closed()
