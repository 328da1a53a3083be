"""Ending a call from our side: one BYE to each of the two Contacts that voice gave out.

Kamailio takes them, from loopback, like any request of a running call: the BYE sent on behalf of the caller
reaches the callee, and the other way round. Retransmission follows RFC 3261 §17.1.2 (timers E and F).
"""

import asyncio
import secrets
import ssl
from typing import Any, Final

import msgspec

from qibai.config import VoiceConfig
from qibai.core.sip import uri_host

T1: Final = 0.5
T2: Final = 4.0
TIMEOUT_S: Final = 64 * T1


class Leg(msgspec.Struct, frozen=True):
    """What a BYE on behalf of one side needs; ``uri`` is our own Contact, with its token."""

    uri: str
    from_: str = msgspec.field(name="from")
    to: str
    call_id: str
    cseq: int


class Legs(msgspec.Struct, frozen=True):
    """``caller``: a BYE as the caller would send it; ``callee``: as the callee would."""

    caller: Leg
    callee: Leg


_LEGS: Final = msgspec.json.Decoder(Legs)


def read_legs(text: str) -> Legs:
    """What voice sealed with the answer. Raise msgspec.MsgspecError."""
    return _LEGS.decode(text)


def bye(leg: Leg, *, transport: str, host: str, port: int, branch: str) -> bytes:
    """The request, sent from ``host``:``port``."""
    lines = [
        f"BYE {leg.uri} SIP/2.0",
        f"Via: SIP/2.0/{transport} {host}:{port};branch={branch};rport",
        "Max-Forwards: 70",
        f"From: {leg.from_}",
        f"To: {leg.to}",
        f"Call-ID: {leg.call_id}",
        f"CSeq: {leg.cseq} BYE",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def new_branch() -> str:
    return f"z9hG4bK{secrets.token_hex(12)}"


def reply_of(data: bytes) -> tuple[str, int] | None:
    """(branch of the topmost Via, status) of a SIP response; None for anything else."""
    head, *lines = data.decode("utf-8", "replace").split("\r\n")
    parts = head.split(" ", 2)
    if parts[0] != "SIP/2.0" or len(parts) < 2 or not (parts[1].isascii() and parts[1].isdigit()):
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() in ("via", "v"):
            for param in value.split(",", 1)[0].split(";")[1:]:
                key, _, text = param.partition("=")
                if key.strip().lower() == "branch":
                    return text.strip(), int(parts[1])
            return None
    return None


class Hangup:
    """Sends BYEs to the Kamailio of this node and waits for their answers."""

    def __init__(self, voice: VoiceConfig) -> None:
        self._voice = voice
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._udp: Any = None

    async def end(self, legs: Legs) -> bool:
        """Send both BYEs; whether Kamailio answered both. The first of each is on its way before any wait."""
        send = self._send_udp if self._voice.udp_port else self._send_stream
        done = await asyncio.gather(send(legs.caller), send(legs.callee))
        return all(status is not None for status in done)

    def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
            self._udp = None

    async def _send_udp(self, leg: Leg) -> int | None:
        loop = asyncio.get_running_loop()
        if self._udp is None or self._udp.is_closing():
            here = "::1" if ":" in self._voice.host else "127.0.0.1"
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Replies(self._waiting), local_addr=(here, 0)
            )
        host, port = self._udp.get_extra_info("sockname")[:2]
        branch = new_branch()
        text = bye(leg, transport="UDP", host=uri_host(host), port=port, branch=branch)
        future = self._waiting[branch] = loop.create_future()
        try:
            wait, end = T1, loop.time() + TIMEOUT_S
            while (left := end - loop.time()) > 0:
                self._udp.sendto(text, (self._voice.host, self._voice.udp_port))
                try:
                    return await asyncio.wait_for(asyncio.shield(future), min(wait, left))
                except TimeoutError:
                    wait = min(2 * wait, T2)
            return None
        except OSError:
            return None
        finally:
            del self._waiting[branch]

    async def _send_stream(self, leg: Leg) -> int | None:
        """Over TCP, or over TLS where there is nothing else."""
        voice = self._voice
        here = "::1" if ":" in voice.host else "127.0.0.1"
        transport, port, tls = "TCP", voice.tcp_port, None
        try:
            if not port:
                transport, port, tls = "TLS", voice.tls_port, _own_tls(voice)
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    voice.host, port, local_addr=(here, 0), ssl=tls
                )
                try:
                    own_port = writer.get_extra_info("sockname")[1]
                    branch = new_branch()
                    host = uri_host(here)
                    writer.write(bye(leg, transport=transport, host=host, port=own_port, branch=branch))
                    await writer.drain()
                    while True:
                        head = await reader.readuntil(b"\r\n\r\n")
                        await reader.readexactly(_body_length(head))
                        reply = reply_of(head.lstrip(b"\r\n"))
                        if reply is not None and reply[0] == branch and reply[1] >= 200:
                            return reply[1]
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return None


def _own_tls(voice: VoiceConfig) -> ssl.SSLContext:
    """To this machine's own Kamailio, which wants the certificate of a peer: its own will do."""
    context = ssl.create_default_context()
    context.check_hostname = False  # reached by address, over loopback
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(voice.tls_cert, voice.tls_key)
    return context


class _Replies(asyncio.DatagramProtocol):
    def __init__(self, waiting: dict[str, asyncio.Future[int]]) -> None:
        self._waiting = waiting

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = reply_of(data)
        if reply is None or reply[1] < 200:
            return
        future = self._waiting.get(reply[0])
        if future is not None and not future.done():
            future.set_result(reply[1])


def _body_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l") and value.strip().isdigit():
            return int(value)
    return 0
