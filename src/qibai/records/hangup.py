"""Ending a call from our side: one BYE to each of the two Contacts that voice gave out.

Kamailio takes them, from loopback, like any request of a running call: the BYE sent on behalf of the caller
reaches the callee, and the other way round.
"""

import asyncio
import ssl

from qibai.config import VoiceConfig
from qibai.core.legs import Leg, Legs
from qibai.core.sip import uri_host
from qibai.requests import TIMEOUT_S, Requests, new_branch, reply_of


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


class Hangup:
    """Sends BYEs to the Kamailio of this node and waits for their answers."""

    def __init__(self, voice: VoiceConfig) -> None:
        self._voice = voice
        self._udp = Requests()

    async def end(self, legs: Legs) -> bool:
        """Send both BYEs; whether Kamailio answered both. The first of each is on its way before any wait."""
        send = self._send_udp if self._voice.udp_port else self._send_stream
        done = await asyncio.gather(send(legs.caller), send(legs.callee))
        return all(status is not None for status in done)

    def close(self) -> None:
        self._udp.close()

    async def _send_udp(self, leg: Leg) -> int | None:
        try:
            host, port, *_ = await self._udp.open("::1" if ":" in self._voice.host else "127.0.0.1")
        except OSError:
            return None
        branch = new_branch()
        text = bye(leg, transport="UDP", host=uri_host(host), port=port, branch=branch)
        reply = await self._udp.ask(text, branch, (self._voice.host, self._voice.udp_port))
        return None if reply is None else reply.status

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
                        if reply is not None and reply.branch == branch and reply.status >= 200:
                            return reply.status
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


def _body_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l") and value.strip().isdigit():
            return int(value)
    return 0
