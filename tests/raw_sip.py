"""SIP written and read octet by octet, for what no user agent writes."""

import re
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

_NEXT = count(1)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 %b\r\ns=-\r\nc=IN IP4 %b\r\nt=0 0\r\n"
    b"m=audio 20000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)


class RawAgent:
    """One socket of a test."""

    def __init__(self, at: tuple[str, int], platform: tuple[str, int]) -> None:
        self.at, self.platform = at, platform
        self.reached_at = self.place  #: what the Contact of its requests says
        self.seen: list[bytes] = []
        self.line, self.above = (
            b"",
            b"",
        )  #: a line that every message gets, and the header that it stands above
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(at)
        self._socket.settimeout(8)

    @property
    def place(self) -> bytes:
        return f"{self.at[0]}:{self.at[1]}".encode()

    @property
    def sdp(self) -> bytes:
        return SDP % (self.at[0].encode(), self.at[0].encode())

    def close(self) -> None:
        self._socket.close()

    def waiting(self) -> list[bytes]:
        """What has come and was not taken yet."""
        found = []
        while select.select([self._socket], [], [], 0)[0]:
            found.append(self._socket.recv(65_535))
        return found

    def send(self, data: bytes) -> None:
        if self.line:
            data = re.sub(rb"(\r\n%b:)" % self.above, rb"\r\n%b\1" % self.line, data, count=1)
        self._socket.sendto(data, self.platform)

    def take(self, start: bytes) -> bytes:
        """The next message that begins so; others are skipped."""
        while True:
            data = self._socket.recv(65_535)
            self.seen.append(data)
            if data.startswith(start):
                return data

    def request(
        self,
        method: bytes,
        uri: bytes,
        *,
        call_id: bytes = b"",
        from_: bytes = b"",
        to: bytes = b"",
        cseq: int = 1,
        via: bytes = b"",
        headers: tuple[bytes, ...] = (),
        body: bytes = b"",
    ) -> bytes:
        """Send a request; returns its text."""
        number = next(_NEXT)
        via = via or b"SIP/2.0/UDP %b;branch=z9hG4bKraw%d" % (self.place, number)
        lines = [
            b"%b %b SIP/2.0" % (method, uri),
            b"Via: " + via,
            b"Max-Forwards: 70",
            b"From: " + from_,
            b"To: " + (to or b"<%b>" % uri),
            b"Call-ID: " + (call_id or b"raw%d@test" % number),
            b"CSeq: %d %b" % (cseq, method),
            b"Contact: <sip:%b>" % self.reached_at,
            *headers,
            b"Content-Length: %d" % len(body),
            b"",
            body,
        ]
        text = b"\r\n".join(lines)
        self.send(text)
        return text

    def reply(
        self,
        request: bytes,
        status: bytes,
        *headers: bytes,
        body: bytes = b"",
        contact: bool = True,
        tag: bytes = b"callee",
    ) -> None:
        """Answer a request with its own headers."""
        lines = [b"SIP/2.0 " + status]
        for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n"):
            name = line.partition(b":")[0]
            if name == b"To" and b";tag=" not in line:
                lines.append(line + b";tag=" + tag)
            elif name in (b"Via", b"From", b"To", b"Call-ID", b"CSeq", b"Record-Route"):
                lines.append(line)
        if contact:
            lines.append(b"Contact: <sip:%b>" % self.place)
        if body and not any(header.lower().startswith(b"content-type") for header in headers):
            lines.append(b"Content-Type: application/sdp")
        lines += [*headers, b"Content-Length: %d" % len(body), b"", body]
        self.send(b"\r\n".join(lines))


_COMPACT = {b"From": b"f", b"To": b"t", b"Call-ID": b"i"}


def header(text: bytes, name: bytes) -> bytes:
    """The first header of that name, long or compact, without its name."""
    found = re.search(rb"\r\n(?:" + name + b"|" + _COMPACT.get(name, name) + rb"): ?([^\r]*)", text)
    assert found, name
    return found[1]


def contact(text: bytes) -> bytes:
    """The URI in a message's Contact."""
    found = re.search(rb"\r\nContact: <([^>]*)>", text)
    assert found
    return found[1]


@contextmanager
def raw_agent(at: tuple[str, int], platform: tuple[str, int]) -> Iterator[RawAgent]:
    agent = RawAgent(at, platform)
    try:
        yield agent
    finally:
        agent.close()
