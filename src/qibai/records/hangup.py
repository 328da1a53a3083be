"""Ending a call from our side: one BYE to each of the two Contacts that voice gave out.

Kamailio takes them, from loopback and with a badge, like any request of a running call: the BYE sent on
behalf of the caller reaches the callee, and the other way round. A callee who answered too late gets the ACK
and the BYE that no caller sends.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final

from qibai.config import VoiceConfig
from qibai.core.badge import BADGE_HEADER, seal_hangup
from qibai.core.legs import LATE_CSEQ, Leg, Legs, ends_dialog
from qibai.core.sip import uri_host
from qibai.core.sip.own import new_branch, write_own
from qibai.core.token import TokenKeys
from qibai.sip_client import TIMEOUT_S, Requests, reply_of

ATTEMPTS: Final = 3
AGAIN_S: Final = 1.0  #: between attempts: a side that refuses a BYE may be busy with another request
_GAP_S: Final = 0.1  #: between ACK and BYE over UDP, lest two workers swap them


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request of ours is sent from."""

    transport: str
    host: str
    port: int
    keys: TokenKeys

    def write(self, method: str, leg: Leg, cseq: int, branch: str) -> bytes:
        """A request on behalf of ``leg``."""
        via = f"Via: SIP/2.0/{self.transport} {self.host}:{self.port};branch={branch};rport"
        badge = f"{BADGE_HEADER}: {seal_hangup(leg.call_id, self.keys)}"
        return write_own(method, leg.uri, via, leg.from_, leg.to, leg.call_id, cseq, badge)

    def requests(self, leg: Leg, branch: str, attempt: int, *, acknowledged: bool) -> list[bytes]:
        """The BYE, with this branch; before it the ACK that an answer of the leg's CSeq still waits for.

        Each ``attempt``, from 0 on, has a CSeq of its own: with one seen before it would be a repetition.
        """
        if acknowledged:
            return [self.write("BYE", leg, leg.cseq + attempt, branch)]
        return [
            self.write("ACK", leg, leg.cseq, new_branch()),
            self.write("BYE", leg, LATE_CSEQ + attempt, branch),
        ]


class Hangup:
    """Sends BYEs to the Kamailio of this node and waits for their answers."""

    def __init__(self, voice: VoiceConfig, keys: TokenKeys) -> None:
        self._voice = voice
        self._keys = keys
        self._udp = Requests()

    async def end(self, legs: Legs) -> bool:
        """Send both BYEs, again when they are refused. The first of each is on its way before any wait.

        Returns True if both sides' dialogs have ended.
        """
        done = await asyncio.gather(self._end(legs.caller), self._end(legs.callee))
        return all(done)

    async def dismiss(self, caller: Leg) -> bool:
        """End a call that the callee alone holds: an ACK of the CSeq that ``caller`` has, then a BYE.

        The BYE is sent again when it is refused. Returns True if the dialog has ended.
        """
        return await self._end(caller, acknowledged=False)

    async def _end(self, leg: Leg, *, acknowledged: bool = True) -> bool:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(AGAIN_S)
            status = await self._bye(leg, attempt, acknowledged=acknowledged)
            if status is not None and ends_dialog(status):
                return True
        return False

    def close(self) -> None:
        self._udp.close()

    async def _bye(self, leg: Leg, attempt: int, *, acknowledged: bool) -> int | None:
        """The status that the BYE was answered with; None when it got no answer."""
        send = self._send_udp if self._voice.udp_port else self._send_stream
        try:
            return await send(leg, attempt, acknowledged)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return None

    async def _send_udp(self, leg: Leg, attempt: int, acknowledged: bool) -> int | None:
        host, port, *_ = await self._udp.open("::1" if ":" in self._voice.host else "127.0.0.1")
        here, to = Place("UDP", uri_host(host), port, self._keys), (self._voice.host, self._voice.udp_port)
        branch = new_branch()
        *ack, bye = here.requests(leg, branch, attempt, acknowledged=acknowledged)
        for request in ack:
            self._udp.send(request, to)
            await asyncio.sleep(_GAP_S)
        reply = await self._udp.ask(bye, branch, to)
        return None if reply is None else reply.status

    async def _send_stream(self, leg: Leg, attempt: int, acknowledged: bool) -> int:
        """Over TCP, or over TLS where there is nothing else."""
        voice = self._voice
        own = "::1" if ":" in voice.host else "127.0.0.1"
        transport, port, tls = "TCP", voice.tcp_port, None
        if not port:
            transport, port, tls = "TLS", voice.tls_port, _own_tls(voice)
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(voice.host, port, local_addr=(own, 0), ssl=tls)
            try:
                here = Place(transport, uri_host(own), writer.get_extra_info("sockname")[1], self._keys)
                branch = new_branch()
                writer.writelines(here.requests(leg, branch, attempt, acknowledged=acknowledged))
                await writer.drain()
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(_body_length(head))
                    reply = reply_of(head.lstrip(b"\r\n"))
                    if reply is not None and reply.branch == branch and reply.status >= 200:
                        return reply.status
            finally:
                writer.close()


def _own_tls(voice: VoiceConfig) -> ssl.SSLContext:
    """To this machine's own Kamailio, which wants the certificate of a peer: its own will do."""
    context = ssl.create_default_context()
    context.check_hostname = False  # reached by address, over loopback
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(voice.tls_cert, voice.tls_key)
    return context


def _body_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l") and value.strip().isdigit():
            return int(value)
    return 0
