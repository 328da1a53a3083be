"""The same as ``bench.centre`` for CMPP 3.0: a carrier's gateway, made of our own account.

python -m bench.centre_cmpp PORT PASSWORD_FILE
"""

import asyncio
import itertools
import json
import sys
import time
from datetime import UTC, datetime, timedelta

from bench.centre import TEXT
from qibai import logs
from qibai.config import MessageLink, MessagingConfig
from qibai.core.messages import MessageState
from qibai.core.text import Encoding, Part
from qibai.messaging.cmpp import CmppServer
from qibai.messaging.link import NotNow, Outgoing, Receipt, Received, Refused, Rejected, Report, Taken


class Carrier:
    """``link.Inbox`` of the account: what is submitted is delivered at once, and reported."""

    def __init__(self, server: CmppServer, numbers: list[tuple[str, str]]) -> None:
        self.link = server.links[0]
        self._numbers = itertools.cycle(numbers)
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(1)
        self._left = 0
        self._done = asyncio.Event()
        self.refused = 0

    async def message(self, received: Received) -> Taken | Refused:
        self._start(self._report(received))
        return Taken(next(self._ids))

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        return False

    async def run(self, count: int, rate: float, window: int) -> dict[str, float]:
        """Send ``count`` messages and wait until each was reported on."""
        self._left, self.refused = count, 0
        self._done.clear()
        self._free = asyncio.Semaphore(window)
        began = time.monotonic()
        for sent in range(count):
            await self._free.acquire()
            if rate:
                await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
            self._start(self._deliver(*next(self._numbers)))
        await self._done.wait()
        return {"seconds": time.monotonic() - began, "refused": self.refused}

    async def _deliver(self, sender: str, number: str) -> None:
        until = datetime.now(UTC) + timedelta(hours=1)
        part = Part(TEXT, Encoding.UCS2)
        try:
            await self.link.submit(Outgoing(0, next(self._ids), sender, number, part, until))
        except (Rejected, NotNow):
            self.refused += 1
            self._finish()

    async def _report(self, received: Received) -> None:
        now = datetime.now(UTC)
        receipt = Receipt(received.ref, MessageState.DELIVERED, now)
        await self.link.report(Report(receipt, received.destination, received.source, now))
        self._finish()

    def _finish(self) -> None:
        self._left -= 1
        self._free.release()
        if self._left == 0:
            self._done.set()

    def _start(self, work: asyncio.Future[None] | object) -> None:
        task = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def main() -> None:
    logs.configure()
    port, secret = int(sys.argv[1]), sys.argv[2]
    numbers = json.loads(sys.stdin.readline())
    account = MessageLink(
        "peer", protocol="cmpp", role="server", account="900001", password_file=secret, window=512
    )
    server = CmppServer(MessagingConfig(cmpp_port=port), [account])
    carrier = Carrier(server, numbers)
    stop = asyncio.Event()
    running = asyncio.create_task(carrier.link.run(carrier, stop))
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, rate, window = line.split()[1:]
        while not carrier.link.can_send:  # noqa: ASYNC110  # the link tells nobody when it is up
            await asyncio.sleep(0.02)
        print(json.dumps(await carrier.run(int(count), float(rate), int(window))), flush=True)
    stop.set()
    await running


if __name__ == "__main__":
    asyncio.run(main())
