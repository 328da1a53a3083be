"""Bare relays of text messages: what comes from a message centre goes back to it, numbers changed, no more.

    python -m bench.relays smpp PORT
    python -m bench.relays cmpp PORT PASSWORD_FILE

Nothing is looked up, decided, stored or remembered; the numbers are made from the numbers. SMPP is
``smpp34``'s own client, sessions and windows included; CMPP, for which there is no library, is our own link.
"""

import asyncio
import itertools
import sys
from datetime import UTC, datetime, timedelta

import smpp34
import uvloop

from qibai.config import MessageLink
from qibai.messaging.cmpp import CmppClient
from qibai.messaging.link import Outgoing, Receipt, Received, Refused, Taken


async def smpp(port: int) -> None:
    """By ``smpp34``'s own client."""
    client = smpp34.Client("127.0.0.1", port, "relay", "secret", bind_type="TRX", window_size=64)
    centre = await client.connect()
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(event: smpp34.DeliverSmEvent) -> None:
        await centre.submit_sm(
            "139" + event.source_addr[-8:],
            event.short_message,
            source_addr=event.destination_addr,
            data_coding=event.data_coding,
            registered_delivery=1,
        )

    while isinstance(event := await centre.next(), smpp34.DeliverSmEvent):
        if not event.esm_class & 0x04:  # receipts end here
            task = asyncio.create_task(pass_on(event))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


class Relay:
    """``link.Inbox``: a message goes out by the link that it came by."""

    def __init__(self, link: CmppClient) -> None:
        self._link = link
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[str]] = set()

    async def message(self, received: Received) -> Taken | Refused:
        until = datetime.now(UTC) + timedelta(hours=1)
        id = next(self._ids)
        receiver = "+86139" + received.source[-8:]
        outgoing = Outgoing(0, id, received.destination, receiver, received.part, until)
        task = asyncio.create_task(self._link.submit(outgoing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Taken(id)

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        return True


async def cmpp(port: int) -> None:
    """By our own link."""
    link = CmppClient(
        MessageLink(
            "relay",
            protocol="cmpp",
            host="127.0.0.1",
            port=port,
            account="900001",
            password_file=sys.argv[3],
            window=64,
        )
    )
    await link.run(Relay(link), asyncio.Event())


KINDS = {"smpp": smpp, "cmpp": cmpp}


if __name__ == "__main__":
    uvloop.run(KINDS[sys.argv[1]](int(sys.argv[2])))
