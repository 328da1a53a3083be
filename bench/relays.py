"""Bare relays of text messages: what comes from a message centre goes back to it, numbers changed, no more.

    python -m bench.relays smpp PORT

Nothing is looked up, decided, stored or remembered; the numbers are made from the numbers. Sessions, windows
and PDUs are the library's own.
"""

import asyncio
import sys

import smpp34
import uvloop


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


KINDS = {"smpp": smpp}


if __name__ == "__main__":
    uvloop.run(KINDS[sys.argv[1]](int(sys.argv[2])))
