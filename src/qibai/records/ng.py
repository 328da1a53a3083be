"""Asking rtpengine about a call, in its ``ng`` protocol: a cookie and a bencoded dictionary over UDP."""

import asyncio
import itertools
import secrets
from typing import Any, Final

ANSWER_S: Final = 1.0
_COUNT: Final = itertools.count()
_ID: Final = secrets.token_hex(4)

Bencoded = int | bytes | list["Bencoded"] | dict[bytes, "Bencoded"]


def encode(value: Bencoded) -> bytes:
    """Bencode; dictionary keys are sorted, as the format wants."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%b" % (len(value), value)
        case list():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def decode(data: bytes) -> Bencoded:
    """The value that ``data`` is. Raise ValueError when it is none."""
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise ValueError("more than one value")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[Bencoded, int]:
    first = data[at : at + 1]
    if depth > 20:
        raise ValueError("too deep")
    if first == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if first == b"l":
        items: list[Bencoded] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _decode(data, at, depth + 1)
            items.append(item)
        return items, at + 1
    if first == b"d":
        found: dict[bytes, Bencoded] = {}
        at += 1
        while data[at : at + 1] != b"e":
            key, at = _decode(data, at, depth + 1)
            if not isinstance(key, bytes):
                raise ValueError("a key must be text")
            found[key], at = _decode(data, at, depth + 1)
        return found, at + 1
    colon = data.index(b":", at)
    length = int(data[at:colon])
    end = colon + 1 + length
    if length < 0 or end > len(data):
        raise ValueError("cut short")
    return data[colon + 1 : end], end


class MediaClient(asyncio.DatagramProtocol):
    """Questions to one rtpengine on this machine."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._transport: Any = None

    @classmethod
    async def open(cls, port: int) -> "MediaClient":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_datagram_endpoint(cls, remote_addr=("127.0.0.1", port))
        return client

    async def knows(self, media_id: str) -> bool | None:
        """Whether rtpengine holds that call; None when it does not answer."""
        cookie = f"{_ID}{next(_COUNT)}".encode()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[cookie] = future
        try:
            question = encode({b"command": b"query", b"call-id": media_id.encode()})
            self._transport.sendto(cookie + b" " + question)
            answer = decode(await asyncio.wait_for(future, ANSWER_S))
        except (TimeoutError, OSError, ValueError):
            return None
        finally:
            self._waiting.pop(cookie, None)
        if not isinstance(answer, dict):
            return None
        if answer.get(b"result") == b"ok":
            return True
        reason = answer.get(b"error-reason")
        return False if isinstance(reason, bytes) and b"unknown call" in reason.lower() else None

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        cookie, _, body = data.partition(b" ")
        future = self._waiting.get(cookie)
        if future is not None and not future.done():
            future.set_result(body)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens: the question times out."""
