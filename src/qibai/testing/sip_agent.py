"""What SIP user agents over UDP have in common: a subclass decides what they do with requests and answers.

They keep to RFC 3261 in what the subclass leaves open: a request is repeated until its answer, and a request
that comes again gets the same answer. They have no media: they describe a stream and send nothing.
"""

import itertools
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

REPEAT_S: Final = 0.5
ORDER: Final = itertools.count(1)
Address = tuple[str, int]


class SipPacket:
    """A SIP message, read as far as these agents need it. ``status`` is 0 for a request."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.decode().partition("\r\n\r\n")
        self.start, *lines = head.split("\r\n")
        self.fields = [line.partition(":")[::2] for line in lines]
        self.status = int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0
        number, self.method = self.first("CSeq").split()
        self.cseq = int(number)
        self.call_id, self.from_, self.to = self.first("Call-ID"), self.first("From"), self.first("To")
        self.branch = self.first("Via").partition("branch=")[2].partition(";")[0]

    def all(self, name: str) -> list[str]:
        return [value.strip() for key, value in self.fields if key.strip().lower() == name.lower()]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    @property
    def contact(self) -> str:
        return self.first("Contact").partition("<")[2].partition(">")[0]


def tag_of(value: str) -> str:
    """The tag of a From or To, "" if it has none."""
    return value.partition(">")[2].partition("tag=")[2].partition(";")[0]


@dataclass(kw_only=True)
class SipLine:
    """One dialog at one agent."""

    call_id: str
    own: str  #: From of requests that this side sends
    other: str  #: To of these
    target: str
    cseq: int
    off_hook: int = 0  #: when this side sent or got a 2xx, in the order of all agents' steps; 0: not yet
    acknowledged: bool = False
    closed: bool = False
    refuses_bye: bool = False  #: the first BYE is answered with 500
    hanging_up: bool = False


class SipAgent:
    """A socket, a thread that serves it, and what is to be done later or again."""

    def __init__(self, at: Address, platform: Address) -> None:
        """``at``: the agent's own address and port; ``platform``: where it sends its requests."""
        self.at, self.platform = at, platform
        self.lines: dict[tuple[str, str], SipLine] = {}  #: by Call-ID and the callee's tag
        self.got: list[bytes] = []  #: all that came
        self.faults: list[str] = []  #: what went wrong in the agent itself
        self._replies: dict[tuple[str, str], tuple[bytes, Address]] = {}
        self._asking: dict[str, bytes] = {}
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._lock = threading.Lock()  #: of ``_later``
        self._running = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind(at)
        self._socket.settimeout(0.02)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to take what comes."""
        self._thread.start()

    def stop(self) -> None:
        """Close the socket. Calls that go on are left as they are."""
        self._running = False
        self._thread.join()
        self._socket.close()

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        """Have the agent's thread do ``step`` in ``seconds``."""
        with self._lock:
            self._later.append((time.monotonic() + seconds, step))

    def on_request(self, packet: SipPacket, sender: Address) -> None:
        """Handle a request that came for the first time."""
        raise NotImplementedError

    def on_reply(self, packet: SipPacket) -> None:
        """Handle an answer; it may come more than once."""
        raise NotImplementedError

    def _serve(self) -> None:
        while self._running:
            try:
                data, sender = self._socket.recvfrom(65_536)
            except TimeoutError:
                data = b""
            try:
                if data:
                    self._take(data, sender)
                now = time.monotonic()
                with self._lock:
                    due = [step for at, step in self._later if at <= now]
                    self._later = [(at, step) for at, step in self._later if at > now]
                for step in due:
                    step()
            except Exception as exc:
                self.faults.append(f"{type(exc).__name__}: {exc} at {data[:60]!r}")

    def _take(self, data: bytes, sender: Address) -> None:
        self.got.append(data)
        packet = SipPacket(data)
        if packet.status:
            if packet.status >= 200 or packet.method == "INVITE":
                self._asking.pop(packet.branch, None)
            self.on_reply(packet)
            return
        method = packet.start.split()[0]
        again = self._replies.get((packet.branch, method))
        if again is not None:
            self._socket.sendto(*again)
        else:
            self.on_request(packet, sender)

    def reply(
        self, packet: SipPacket, sender: Address, status: int, *, tag: str = "", more: tuple[str, ...] = ()
    ) -> None:
        """Answer a request; a 1xx or 2xx to an INVITE has a description."""
        method = packet.start.split()[0]
        to = packet.to if not tag or tag_of(packet.to) else f"{packet.to};tag={tag}"
        described = method == "INVITE" and (status == 183 or 200 <= status < 300)
        body = self._description() if described else ""
        lines = [
            f"SIP/2.0 {status} {'OK' if status < 300 else 'No'}",
            *(f"Via: {via}" for via in packet.all("Via")),
            f"From: {packet.from_}",
            f"To: {to}",
            f"Call-ID: {packet.call_id}",
            f"CSeq: {packet.cseq} {method}",
            f"Contact: <sip:{self.at[0]}:{self.at[1]}>",
            *more,
            *self._body(body),
        ]
        data = "\r\n".join(lines).encode()
        if status >= 200 or method != "INVITE":
            self._replies[packet.branch, method] = data, sender
        self._socket.sendto(data, sender)

    def ask(self, line: SipLine, method: str, *, more: tuple[str, ...] = (), described: bool = False) -> str:
        """Send a request within a dialog until it is answered; returns its branch."""
        line.cseq += 1
        return self.send(method, line, line.cseq, more=more, described=described)

    def send(
        self,
        method: str,
        line: SipLine,
        cseq: int,
        *,
        branch: str = "",
        more: tuple[str, ...] = (),
        described: bool = False,
    ) -> str:
        """Send a request with that CSeq number and branch; returns its branch."""
        branch = branch or f"z9hG4bK{secrets.token_hex(8)}"
        lines = [
            f"{method} {line.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.at[0]}:{self.at[1]};branch={branch}",
            "Max-Forwards: 70",
            f"From: {line.own}",
            f"To: {line.other}",
            f"Call-ID: {line.call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:{self.at[0]}:{self.at[1]}>",
            *more,
            *self._body(self._description() if described else ""),
        ]
        data = "\r\n".join(lines).encode()
        self._socket.sendto(data, self.platform)
        if method not in ("ACK", "CANCEL"):
            self._asking[branch] = data
            self.later(REPEAT_S, lambda: self._repeat(branch, 12))
        return branch

    def hang_up(self, line: SipLine) -> None:
        """Send a BYE, again and again until the dialog is over."""
        if not line.closed:
            line.hanging_up = True
            self.ask(line, "BYE")

    def on_bye_reply(self, packet: SipPacket, line: SipLine) -> None:
        """481 says that the dialog is gone (RFC 3261 §15.1.1); any other failure says that it is not."""
        if 200 <= packet.status < 300 or packet.status == 481:
            line.closed = True
        elif packet.status >= 300 and not line.closed:
            self.later(0.1, lambda: self.hang_up(line))

    def on_bye(self, packet: SipPacket, sender: Address, line: SipLine | None) -> bool:
        """Answer a BYE; returns True if it ends the dialog."""
        if line is None:
            self.reply(packet, sender, 481)
            return False
        if line.refuses_bye:
            line.refuses_bye = False
            self.reply(packet, sender, 500)
            return False
        self.reply(packet, sender, 200)
        line.closed = True
        return True

    def _repeat(self, branch: str, left: int) -> None:
        data = self._asking.get(branch)
        if data is not None and left:
            self._socket.sendto(data, self.platform)
            self.later(REPEAT_S, lambda: self._repeat(branch, left - 1))

    def _description(self) -> str:
        here = self.at[0]
        head = f"v=0\r\no=- 1 1 IN IP4 {here}\r\ns=-\r\nc=IN IP4 {here}\r\nt=0 0\r\n"
        return head + "m=audio 20000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"

    def _body(self, body: str) -> list[str]:
        typed = ["Content-Type: application/sdp"] if body else []
        return [*typed, f"Content-Length: {len(body)}", "", body]
