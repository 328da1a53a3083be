"""SIP requests of our own over UDP: non-INVITE client transactions (RFC 3261 §17.1.2, timers E and F)."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

T1: Final = 0.5
T2: Final = 4.0
TIMEOUT_S: Final = 64 * T1

Address = tuple[Any, ...]


class Reply(NamedTuple):
    """What counts of a SIP response."""

    branch: str  #: of the topmost Via
    status: int
    retry_after: int | None = None  #: seconds
    peer: str = ""  #: of our own 408: who was silent (``core.badge``)


def reply_of(data: bytes) -> Reply | None:
    """A SIP response; None for anything else."""
    head, *lines = data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").split("\r\n")
    parts = head.split(" ", 2)
    if parts[0] != "SIP/2.0" or len(parts) < 2 or not (parts[1].isascii() and parts[1].isdigit()):
        return None
    branch, retry_after, peer = None, None, ""
    for line in lines:
        name, _, value = line.partition(":")
        match name.strip().lower():
            case "via" | "v" if branch is None:
                branch = _branch_of(value)
            case "retry-after":
                seconds = value.strip()
                retry_after = int(seconds) if seconds.isascii() and seconds.isdigit() else None
            case "x-qibai-peer":
                peer = value.strip()
    return Reply(branch, int(parts[1]), retry_after, peer) if branch else None


def _branch_of(via: str) -> str:
    for param in via.split(",", 1)[0].split(";")[1:]:
        key, _, text = param.partition("=")
        if key.strip().lower() == "branch":
            return text.strip()
    return ""


class Requests(asyncio.DatagramProtocol):
    """One UDP socket that sends requests and waits for their answers."""

    def __init__(self, on_request: Callable[[bytes, Address], None] | None = None) -> None:
        """``on_request`` takes what comes in and is no response."""
        self._on_request = on_request
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._opening = asyncio.Lock()

    async def open(self, host: str, port: int = 0) -> Address:
        """Take the port (0: any), once; where answers come to. Raise OSError."""
        async with self._opening:
            if self._transport is None or self._transport.is_closing():
                loop = asyncio.get_running_loop()
                self._transport, _ = await loop.create_datagram_endpoint(
                    lambda: self, local_addr=(host, port)
                )
            return tuple(self._transport.get_extra_info("sockname"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def send(self, data: bytes, to: Address) -> None:
        """Send once; what cannot go out is lost, as on any network."""
        if self._transport is not None:
            self._transport.sendto(data, to)

    async def ask(self, request: bytes, branch: str, to: Address) -> Reply | None:
        """Send a request, again and again, until a final answer; None when there is none within 32 s."""
        loop = asyncio.get_running_loop()
        future = self._waiting[branch] = loop.create_future()
        wait, end = T1, loop.time() + TIMEOUT_S
        try:
            while (left := end - loop.time()) > 0:
                self.send(request, to)
                try:
                    return await asyncio.wait_for(asyncio.shield(future), min(wait, left))
                except TimeoutError:
                    wait = min(2 * wait, T2)
            return None
        finally:
            del self._waiting[branch]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not data.startswith(b"SIP/2.0 "):
            if self._on_request is not None:
                self._on_request(data, addr)
            return
        reply = reply_of(data)
        if reply is None or reply.status < 200:
            return
        future = self._waiting.get(reply.branch)
        if future is not None and not future.done():
            future.set_result(reply)
