"""A carrier in a process of its own, to be killed: sends messages at a rate, takes what the gateway submits,
reports on it, and writes down everything before it says it. Started again, it goes on where it was.

    python loop_carrier.py PORT FILE RATE TOTAL
"""

import asyncio
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from store_rows import A, X

from gateway_tools import text_part
from qibai.core.messages import MessageState
from qibai.core.text import decode
from qibai.testing.messages import LoopPeer, Lost, read_part

WORKERS = 64  #: messages under way at once
AGAIN_S = 0.2


class Carrier:
    """Lines: ``T n id`` the gateway has taken n; ``S n ref`` it submitted n; ``R ref`` it has the receipt;
    ``P n state`` it has told what became of n."""

    def __init__(self, file: Path, rate: float, total: int) -> None:
        lines = file.read_text().splitlines() if file.exists() else []
        self._fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._rate, self._total = rate, total
        self._taken = {int(line.split()[1]) for line in lines if line.startswith("T ")}
        told = {line.split()[1] for line in lines if line.startswith("R ")}
        self._owed = [ref for line in lines if line.startswith("S ") and (ref := line.split()[2]) not in told]
        self._count = sum(line.startswith("S ") for line in lines)
        self._tasks: set[asyncio.Task[None]] = set()
        self.peer = LoopPeer(self._submit)
        self.peer.on_report = self._report

    def _write(self, line: str) -> None:
        os.write(self._fd, f"{line}\n".encode())

    def _submit(self, said: Any) -> Any:
        number = re.findall(r"m([0-9]+)e", decode(read_part(said["part"])))[0]
        self._count += 1
        ref = f"{os.getpid()}-{self._count}"
        self._write(f"S {number} {ref}")
        self._start(self._deliver(ref))
        return {"ref": ref}

    def _report(self, said: Any) -> None:
        self._write(f"P {said['ref'][1:]} {said['state']}")

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, ref: str) -> None:
        """Report until it is acknowledged; an answer that says nobody knows it is one too."""
        await asyncio.sleep(0.05)
        while True:
            try:
                if "later" not in await self.peer.receipt(ref, MessageState.DELIVERED):
                    self._write(f"R {ref}")
                    return
            except Lost:
                pass
            await asyncio.sleep(AGAIN_S)

    async def _send(self, number: int, window: asyncio.Semaphore) -> None:
        while True:
            try:
                answer = await self.peer.send(
                    f"r{number}", A.e164, str(X), text_part(f"m{number}e"), wants_receipt=True
                )
                if "id" in answer:
                    self._write(f"T {number} {answer['id']}")
                    window.release()
                    return
            except Lost:
                pass
            await asyncio.sleep(AGAIN_S)

    async def run(self, port: int) -> None:
        await self.peer.start(port)
        for ref in self._owed:
            self._start(self._deliver(ref))
        window = asyncio.Semaphore(WORKERS)
        for_ever = asyncio.Event()
        began, sent = time.monotonic(), 0
        for number in range(1, self._total + 1):
            if number in self._taken:
                continue
            await window.acquire()  # do not run ahead of the gateway
            self._start(self._send(number, window))
            sent += 1
            await asyncio.sleep(max(0.0, began + sent / self._rate - time.monotonic()))
        await for_ever.wait()


async def main() -> None:
    port, file, rate, total = sys.argv[1:]
    await Carrier(Path(file), float(rate), int(total)).run(int(port))


if __name__ == "__main__":
    asyncio.run(main())
