"""Asking rtpengine about a call, in its ``ng`` protocol: a cookie and a bencoded dictionary over UDP."""

import asyncio
import itertools
import secrets
import time
from typing import Any, Final

from qibai.core.bencode import Bencoded, decode, encode

ANSWER_S: Final = 1.0
_COUNT: Final = itertools.count()
_ID: Final = secrets.token_hex(4)


def is_silent(answer: Bencoded, since: float) -> bool:
    """Whether nothing has come ``since`` (seconds since 1970) in a call, by the answer to a ``query``.

    What is signalled counts as media: rtpengine begins to wait then. False for a call on hold, for one
    without a described stream, and for what is no such answer.
    """
    last = []
    for tag in _values(_item(answer, b"tags")):
        for media in _values(_item(tag, b"medias")):
            for stream in _values(_item(media, b"streams")):
                if b"filled" not in _values(_item(stream, b"flags")):
                    continue
                heard = _item(stream, b"last packet")
                if b"recv" not in _values(_item(media, b"flags")) or not isinstance(heard, int):
                    return False
                last.append(heard)
    return bool(last) and max(last) < since


def _item(value: Bencoded, name: bytes) -> Bencoded:
    return value.get(name, b"") if isinstance(value, dict) else b""


def _values(value: Bencoded) -> list[Bencoded]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


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

    async def has_media(self, media_id: str, timeout_s: int) -> bool | None:
        """Whether rtpengine holds that call, with media within ``timeout_s``; None when it does not answer.

        Of a call on hold nobody expects media, so it counts as if it had some.
        """
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
            return not is_silent(answer, time.time() - timeout_s)
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
