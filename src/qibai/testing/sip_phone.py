"""A telephone for trials: it answers calls and places them, by SIP over UDP."""

import secrets
import threading
import time
import zlib
from dataclasses import dataclass
from typing import Final

from qibai.testing.sip_agent import REPEAT_S, Address, SipAgent, SipLine, SipPacket, tag_of

_PROBE_TAKES_S: Final = 0.5  #: the platform hears of an answer so much later at most


@dataclass
class PhoneCall:
    """A call that a telephone placed or got."""

    caller: str  #: the URI of its From
    called: str  #: the URI that was called
    status: int = 0  #: of the final answer; 0: it still rings
    line: SipLine | None = None  #: once it is answered

    @property
    def talks(self) -> bool:
        """Returns True from the answer until either side has hung up."""
        return self.line is not None and not self.line.closed


class SipPhone(SipAgent):
    """A telephone, and a context manager: it works until the end of the block.

    It rings for ``rings_s`` seconds and answers with ``answer``: 200, or a failure such as 486.
    """

    def __init__(self, at: Address, platform: Address, *, rings_s: float = 0.2, answer: int = 200) -> None:
        super().__init__(at, platform)
        self.rings_s, self.answer = rings_s, answer
        self.got_calls: list[PhoneCall] = []
        self._placed: dict[str, PhoneCall] = {}  #: by Call-ID
        self._ringing: dict[str, tuple[PhoneCall, SipPacket, Address]] = {}  #: by Call-ID
        self._probed = threading.Event()
        self._unacknowledged: set[tuple[str, int]] = set()  #: Call-ID and CSeq of INVITEs that got 200

    def call(self, number: str, called: str) -> PhoneCall:
        """Call ``called`` as ``number``; returns at once, and the call changes as it goes on."""
        host = self.at[0]
        target = f"sip:{called}@{self.platform[0]}:{self.platform[1]}"
        call_id = f"{secrets.token_hex(8)}@{host}"
        own = f"<sip:{number}@{host}>;tag={secrets.token_hex(4)}"
        line = SipLine(call_id=call_id, own=own, other=f"<{target}>", target=target, cseq=0)
        call = self._placed[call_id] = PhoneCall(own.partition(";")[0].strip("<>"), target)
        asserted = f"P-Asserted-Identity: <sip:{number}@{host}>"
        self.later(0, lambda: self._invite(line, asserted))
        return call

    @property
    def is_probed(self) -> bool:
        """Returns True once the platform has asked whether this telephone is there."""
        return self._probed.is_set()

    def wait_probed(self, seconds: float = 60.0) -> None:
        """Wait for the platform to ask whether this telephone is there: from then on it may get calls.

        Raise TimeoutError.
        """
        if not self._probed.wait(seconds):
            raise TimeoutError("the platform did not send OPTIONS: is this telephone one of its peers?")
        time.sleep(_PROBE_TAKES_S)

    def end(self, call: PhoneCall) -> None:
        """Hang up."""
        line = call.line
        if line is not None:
            self.later(0, lambda: self.hang_up(line))

    def _invite(self, line: SipLine, *more: str) -> None:
        self.ask(line, "INVITE", more=more, described=True)

    def on_request(self, packet: SipPacket, sender: Address) -> None:
        method = packet.start.split()[0]
        within = bool(tag_of(packet.to))
        line = self.lines.get((packet.call_id, tag_of(packet.to)))
        match method:
            case "INVITE" if within:  # a refresh of the session
                self._accept(packet, sender)
            case "INVITE":
                self._ring(packet, sender)
            case "ACK":
                self._unacknowledged.discard((packet.call_id, packet.cseq))
            case "CANCEL":
                self.reply(packet, sender, 200)
                self._finish(packet.call_id, 487)
            case "BYE":
                self.on_bye(packet, sender, line or self._placed_line(packet.call_id))
            case _:
                self.reply(packet, sender, 200)
                if method == "OPTIONS":
                    self._probed.set()

    def on_reply(self, packet: SipPacket) -> None:
        call = self._placed.get(packet.call_id)
        if packet.method == "BYE":
            line = self._placed_line(packet.call_id) or self.lines.get((packet.call_id, tag_of(packet.from_)))
            if line is not None:
                self.on_bye_reply(packet, line)
        elif packet.method == "INVITE" and packet.status >= 200 and call is not None:
            own = packet.from_
            line = call.line or SipLine(
                call_id=packet.call_id, own=own, other=packet.to, target=packet.contact or call.called, cseq=1
            )
            if packet.status < 300:
                call.line = line
                self.send("ACK", line, packet.cseq)
            else:
                self.send("ACK", line, packet.cseq, branch=packet.branch)
            call.status = call.status or packet.status

    def _placed_line(self, call_id: str) -> SipLine | None:
        call = self._placed.get(call_id)
        return None if call is None else call.line

    def _ring(self, packet: SipPacket, sender: Address) -> None:
        caller = packet.from_.partition("<")[2].partition(">")[0]
        call = PhoneCall(caller, packet.start.split()[1])
        self.got_calls.append(call)
        self._ringing[packet.call_id] = call, packet, sender
        self.reply(packet, sender, 180, tag=_tag(packet))
        self.later(self.rings_s, lambda: self._finish(packet.call_id, self.answer))

    def _finish(self, call_id: str, status: int) -> None:
        """Give a call that rings its final answer."""
        ringing = self._ringing.pop(call_id, None)
        if ringing is None:
            return
        call, packet, sender = ringing
        call.status = status
        if status >= 300:
            self.reply(packet, sender, status, tag=_tag(packet))
            return
        own = f"{packet.to};tag={_tag(packet)}"
        call.line = self.lines[call_id, _tag(packet)] = SipLine(
            call_id=call_id, own=own, other=packet.from_, target=packet.contact, cseq=100
        )
        self._accept(packet, sender)

    def _accept(self, packet: SipPacket, sender: Address) -> None:
        self._unacknowledged.add((packet.call_id, packet.cseq))
        self._say_accepted(packet, sender)

    def _say_accepted(self, packet: SipPacket, sender: Address) -> None:
        """Send the 200 until its ACK comes (RFC 3261 §13.3.1.4)."""
        if (packet.call_id, packet.cseq) in self._unacknowledged:
            self.reply(packet, sender, 200, tag=_tag(packet))
            self.later(REPEAT_S, lambda: self._say_accepted(packet, sender))


def _tag(packet: SipPacket) -> str:
    return f"t{zlib.crc32(packet.call_id.encode())}"
