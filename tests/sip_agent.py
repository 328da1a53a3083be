"""SIP user agents over UDP whose every step a plan decides: they ring, answer, refuse, change, hang up.

They keep to RFC 3261 in what the plan leaves open: a 2xx is repeated until its ACK and always acknowledged, a
request is repeated until its answer, a BYE that is refused is sent again.
"""

import itertools
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from call_plans import Plan

REPEAT_S: Final = 0.5
ORDER: Final = itertools.count(1)
_BRANCHES: Final = itertools.count(1)
Address = tuple[str, int]


class Packet:
    """A SIP message, read as far as these agents need it."""

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
    return value.partition(">")[2].partition("tag=")[2].partition(";")[0]


@dataclass
class Line:
    """One dialog at one agent."""

    plan: Plan
    call_id: str
    own: str  #: From of requests that this side sends
    other: str  #: To of these
    target: str
    cseq: int
    off_hook: int = 0  #: when this side sent or got a 2xx, in the order of all agents' steps; 0: not yet
    acknowledged: bool = False
    closed: bool = False
    refused: bool = False  #: the BYE that was to be refused has been
    hanging_up: bool = False


class Agent:
    """A socket, a thread that serves it, and what is to be done later or again."""

    def __init__(self, at: Address, platform: Address) -> None:
        self.at, self.platform = at, platform
        self.lines: dict[tuple[str, str], Line] = {}  #: by Call-ID and the callee's tag
        self.got: list[bytes] = []
        self.faults: list[str] = []
        self._replies: dict[tuple[str, str], tuple[bytes, Address]] = {}
        self._asking: dict[str, bytes] = {}
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._running = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind(at)
        self._socket.settimeout(0.02)
        self._thread = threading.Thread(target=self._serve)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._thread.join()
        self._socket.close()

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, step))

    def on_request(self, packet: Packet, sender: Address) -> None:
        raise NotImplementedError

    def on_reply(self, packet: Packet) -> None:
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
                due = [step for at, step in self._later if at <= now]
                self._later = [(at, step) for at, step in self._later if at > now]
                for step in due:
                    step()
            except Exception as exc:  # the test says so
                self.faults.append(f"{type(exc).__name__}: {exc} at {data[:60]!r}")

    def _take(self, data: bytes, sender: Address) -> None:
        self.got.append(data)
        packet = Packet(data)
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
        self, packet: Packet, sender: Address, status: int, *, tag: str = "", more: tuple[str, ...] = ()
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

    def ask(self, line: Line, method: str, *, more: tuple[str, ...] = (), described: bool = False) -> str:
        """Send a request within a dialog until it is answered; returns its branch."""
        line.cseq += 1
        return self.send(method, line, line.cseq, more=more, described=described)

    def send(
        self,
        method: str,
        line: Line,
        cseq: int,
        *,
        branch: str = "",
        more: tuple[str, ...] = (),
        described: bool = False,
    ) -> str:
        branch = branch or f"z9hG4bK{self.at[1]}x{next(_BRANCHES)}"
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

    def hang_up(self, line: Line) -> None:
        if not line.closed:
            line.hanging_up = True
            self.ask(line, "BYE")

    def on_bye_reply(self, packet: Packet, line: Line) -> None:
        """481 says that the dialog is gone (RFC 3261 §15.1.1); any other failure says that it is not."""
        if 200 <= packet.status < 300 or packet.status == 481:
            line.closed = True
        elif packet.status >= 300 and not line.closed:
            self.later(0.1, lambda: self.hang_up(line))

    def on_bye(self, packet: Packet, sender: Address, line: Line | None) -> bool:
        """Answer a BYE; returns True if it ends the dialog."""
        if line is None:
            self.reply(packet, sender, 481)
            return False
        if line.plan.refuses_bye and not line.refused:
            line.refused = True
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
