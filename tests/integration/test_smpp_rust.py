"""Both roles against the client and the server of `smpp34`, whose codec we use, but not its sessions."""

import asyncio
from pathlib import Path

import smpp34

from qibai.messaging.link import LinkState
from smpp_tools import SECRET, A, B, X, client, eventually, listening, outgoing, running, server


async def test_its_client_submits_and_is_delivered_to(tmp_path: Path) -> None:
    made = server(tmp_path)
    (link,) = made.links
    async with running(link) as inbox:
        port = await listening(made)
        peer = smpp34.Client(host="127.0.0.1", port=port, system_id="peer", password=SECRET, bind_type="TRX")
        bound = await peer.connect()
        submits = (bound.submit_sm(X, b"hi", source_addr=A[3:]) for _ in range(200))
        answers = await asyncio.gather(*submits)
        assert {answer.message_id for answer in answers} == {received.ref for received in inbox.messages}
        assert len(inbox.messages) == 200

        delivering = [asyncio.create_task(link.submit(outgoing("hi"))) for _ in range(200)]
        for _ in delivering:
            event = await bound.next()
            assert (event.source_addr, event.destination_addr) == (X, B[3:])
        assert await asyncio.gather(*delivering) == [""] * 200
        await bound.unbind()
        await eventually(lambda: link.status().state is LinkState.CONNECTING)
        await peer.stop()


async def test_its_server_takes_and_delivers(tmp_path: Path) -> None:
    # It listens on the port that it is given, so one is found first.
    probe = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1")
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    centre = smpp34.Server("127.0.0.1", port, system_id="rust")
    await centre.start()
    link = client(tmp_path, port, window=64)
    try:
        async with running(link) as inbox:
            esme = await centre.next()
            await eventually(lambda: link.can_send)
            submitting = [asyncio.create_task(link.submit(outgoing("hi"))) for _ in range(200)]
            for number in range(200):
                event = await centre.next()
                event.accept(f"id{number}")
            assert set(await asyncio.gather(*submitting)) == {f"id{number}" for number in range(200)}
            for _ in range(50):
                answer = await esme.deliver_sm(X, b"hi", source_addr=A[3:])
                assert answer.is_success
            assert len(inbox.messages) == 50
    finally:
        await centre.stop()
