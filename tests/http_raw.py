"""HTTP by hand: octets that no client library would send, and the answer as it comes."""

import json
import socket
from typing import Any

from api_tools import Api


class RawHttp:
    """A connection to the API; a context manager."""

    def __init__(self, api: Api, source: str = "127.0.0.1") -> None:
        address = ("127.0.0.1", api.config.api.port)
        self._socket = socket.create_connection(address, timeout=30, source_address=(source, 0))

    def __enter__(self) -> "RawHttp":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send octets; an answer that closed the connection already is no error."""
        try:
            self._socket.sendall(data)
        except OSError:
            return

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        parts = []
        try:
            while part := self._socket.recv(65_536):
                parts.append(part)
        except ConnectionError:
            pass
        return b"".join(parts)

    def status(self) -> int:
        """The next answer's status alone: an answer to HEAD has no body."""
        return int(self._socket.makefile("rb").readline().split()[1])

    def answer(self) -> tuple[int, Any]:
        """The next answer's status and its JSON, or its text."""
        stream = self._socket.makefile("rb")
        status = int(stream.readline().split()[1])
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = stream.read(length)
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body.decode()


def ask(api: Api, head: str, body: bytes = b"") -> tuple[int, Any]:
    """One request whose head is given as text, without its empty line."""
    with RawHttp(api) as raw:
        raw.send(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        return raw.answer()
