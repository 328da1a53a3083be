"""A message centre that makes load: SMPP 3.4 in plain bytes, so that it costs as little as it can.

    python -m bench.centre PORT

Reads the pairs (sender, 700 number) as a line of JSON, then commands: ``run COUNT RATE WINDOW`` (RATE 0: as
fast as WINDOW messages under way allow). Each message goes to the peer by deliver_sm, comes back by
submit_sm, and gets its receipt by deliver_sm; then it is done. Answers each command with a line of JSON.
"""

import asyncio
import json
import struct
import sys
import time
from typing import Any, Final

HEADER: Final = struct.Struct(">IIII")
TEXT: Final = "您的外卖已经到楼下了，请下来取一下，谢谢！".encode("utf-16-be")
_BIND, _SUBMIT, _DELIVER, _UNBIND, _ENQUIRE = 9, 4, 5, 6, 0x15
_RESPONSE: Final = 0x8000_0000


class Centre(asyncio.Protocol):
    """One bound peer."""

    def __init__(self, numbers: list[tuple[str, str]]) -> None:
        self._numbers = numbers
        self.bound = asyncio.Event()
        self._buffer = bytearray()
        self._sequence = 0
        self._place = 0
        self._ids = 0
        self._left = self._sending = 0
        self._free = asyncio.Semaphore(1)
        self._done = asyncio.Event()
        self._receipts: set[int] = set()
        self.refused = 0
        self._today = time.strftime("%y%m%d%H%M")

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 16:
            length, command, status, sequence = HEADER.unpack_from(self._buffer)
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[16:length])
            del self._buffer[:length]
            self._take(command, status, sequence, body)

    async def run(self, count: int, rate: float, window: int) -> dict[str, float]:
        """Send ``count`` messages and wait until each has its receipt."""
        self._left, self._sending, self.refused = count, count, 0
        self._done.clear()
        self._free = asyncio.Semaphore(window)
        began = time.monotonic()
        for sent in range(count):
            await self._free.acquire()
            if rate:
                await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
            sender, number = self._numbers[self._place % len(self._numbers)]
            self._place += 1
            self._deliver(sender, number, 0, TEXT, 8)
        await self._done.wait()
        return {"seconds": time.monotonic() - began, "refused": self.refused}

    def _take(self, command: int, status: int, sequence: int, body: bytes) -> None:
        if command == _BIND:
            self._write(command | _RESPONSE, sequence, b"centre\0")
            self.bound.set()
        elif command in (_ENQUIRE, _UNBIND):
            self._write(command | _RESPONSE, sequence)
        elif command == _SUBMIT:
            self._ids += 1
            id = f"{self._ids:x}"
            self._write(command | _RESPONSE, sequence, id.encode() + b"\0")
            text = (
                f"id:{id} sub:001 dlvrd:001 submit date:{self._today} done date:{self._today} "
                "stat:DELIVRD err:000"
            )
            self._receipts.add(self._sequence + 1)
            self._deliver("13900000000", "700100000000000", 4, text.encode(), 0)
        elif command == _DELIVER | _RESPONSE:
            if sequence in self._receipts:
                self._receipts.discard(sequence)
                self._finish()
            elif status:
                self.refused += 1
                self._finish()

    def _finish(self) -> None:
        self._left -= 1
        self._free.release()
        if self._left == 0:
            self._done.set()

    def _deliver(self, source: str, destination: str, esm: int, text: bytes, coding: int) -> None:
        self._sequence += 1
        body = b"\0\0\0" + source.encode() + b"\0\0\0" + destination.encode() + b"\0"
        body += bytes((esm, 0, 0, 0, 0, 0, 0, coding, 0, len(text))) + text
        self._write(_DELIVER, self._sequence, body)

    def _write(self, command: int, sequence: int, body: bytes = b"") -> None:
        self._transport.write(HEADER.pack(16 + len(body), command, 0, sequence) + body)


async def main() -> None:
    port = int(sys.argv[1])
    numbers = json.loads(sys.stdin.readline())
    loop = asyncio.get_running_loop()
    peer = Centre(numbers)
    await loop.create_server(lambda: peer, "127.0.0.1", port)
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, rate, window = line.split()[1:]
        await peer.bound.wait()
        print(json.dumps(await peer.run(int(count), float(rate), int(window))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
