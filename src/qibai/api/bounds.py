"""What one client may take of the server: connections, a request's head, and time.

uvicorn's protocol on httptools bounds none of them, so that a client that sends nothing would keep its
connection for ever.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from qibai.api.errors import HeadersTooLarge, Invalid, RequestTimeout
from qibai.api.metrics import connection_ended
from qibai.api.path import AUTHORITY, authority_of
from qibai.api.problems import headers_of, problem_of, status_of
from qibai.core.errors import Overloaded, QibaiError

MAX_HEAD: Final = 32 * 1024  #: octets of request line and headers
MAX_HEADERS: Final = 100
_SWEEP_S: Final = 0.5


@dataclass(slots=True)
class Bounds:
    """Limits of one worker process, and what it holds now. Times are in seconds."""

    connections: int
    connections_per_address: int
    head_s: float  #: from the connection, or a later request's first octet, to the end of the headers
    body_s: float  #: for the whole body
    body_idle_s: float  #: between two pieces of a body
    write_s: float  #: for a client to take a piece of the answer
    addresses: Counter[str] = field(default_factory=Counter)
    swept: bool = False


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 within ``Bounds``; a client beyond them gets a problem and loses its connection."""

    def __init__(self, bounds: Bounds, **more: Any) -> None:
        super().__init__(**more)
        self._bounds = bounds
        self._address: str | None = None
        self._phase = "head"
        self._head = self._count = 0
        self._due: float | None = None
        self._end_by = float("inf")
        self._over = False  # nothing more of this connection is read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        bounds = self._bounds
        self._address = self.client[0] if self.client else ""
        bounds.addresses[self._address] += 1
        if len(self.connections) > bounds.connections:
            self._end(Overloaded(), "full")
        elif bounds.addresses[self._address] > bounds.connections_per_address:
            self._end(Overloaded("this address has too many connections"), "address")
        self._due = self.loop.time() + bounds.head_s
        if not bounds.swept:
            bounds.swept = True
            self.loop.call_later(_SWEEP_S, self._sweep)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._address is not None:
            left = self._bounds.addresses[self._address] - 1
            if left > 0:
                self._bounds.addresses[self._address] = left
            else:
                del self._bounds.addresses[self._address]
            self._address = None

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        now = self.loop.time()
        if self._phase == "idle":
            self._phase, self._due = "head", now + self._bounds.head_s
        elif self._phase == "body":
            self._due = min(self._end_by, now + self._bounds.body_idle_s)
        fed = self._head
        super().data_received(data)
        if self._over or self._phase != "head":
            return
        # A header that is not whole yet has been counted nowhere else.
        self._head = max(self._head, fed + len(data))
        if self._head > MAX_HEAD:
            self._end(HeadersTooLarge(), "head")

    def on_message_begin(self) -> None:
        self._head = self._count = 0
        self._phase = "head"
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        self._count += 1
        if self._head <= MAX_HEAD and self._count <= MAX_HEADERS:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._over:
            return
        if self._head > MAX_HEAD or self._count > MAX_HEADERS:
            self._end(HeadersTooLarge(), "head")
            return
        if not self.url.startswith(b"/"):
            self.scope[AUTHORITY] = authority_of(self.url)  # type: ignore[typeddict-unknown-key]
        now = self.loop.time()
        self._phase = "body"
        self._end_by = now + self._bounds.body_s
        self._due = now + self._bounds.body_idle_s
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._over:
            self._phase, self._due, self._head = "idle", None, 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._phase == "body":  # answered before the body was whole: its rest is dropped, for a while
            self._due = self._end_by = min(self._end_by, self.loop.time() + self._bounds.body_idle_s)
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._due = self.loop.time() + self._bounds.write_s

    def resume_writing(self) -> None:
        super().resume_writing()
        self._due = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP/1.1, or holds octets that it forbids, is a problem as well."""
        if not self._over:
            self._end(Invalid([], "this is not a request of HTTP/1.1"), "malformed")

    def _sweep(self) -> None:
        """End what is late, of all connections of this process."""
        now = self.loop.time()
        for one in tuple(self.connections):
            if isinstance(one, BoundedProtocol):
                one._end_if_late(now)
        if self.connections:
            self.loop.call_later(_SWEEP_S, self._sweep)
        else:
            self._bounds.swept = False

    def _end_if_late(self, now: float) -> None:
        if self._due is None or now < self._due or self._over:
            return
        if self.flow.write_paused:
            self._over = True
            connection_ended("reader")
            self.transport.abort()
        elif self.flow.read_paused:  # we do not read: the client is not late
            self._due = self._end_by = now + self._bounds.body_idle_s
        else:
            self._end(RequestTimeout(), self._phase)

    def _end(self, error: QibaiError, why: str) -> None:
        """Answer, unless an answer is under way, and close."""
        self._over = True
        connection_ended(why)
        if self.transport.is_closing():
            return
        cycle = self.cycle
        mute = self._phase == "head" and self._head == 0 and why == "head" and cycle is None
        if not mute and (cycle is None or not cycle.response_started or cycle.response_complete):
            self.transport.write(_answer(error))
        self.transport.close()


def _answer(error: QibaiError) -> bytes:
    body = msgspec.json.encode(problem_of(error))
    headers = [
        *headers_of(error),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[status_of(error)] + lines + b"\r\n" + body
