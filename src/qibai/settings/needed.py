"""Every port that a platform listens on, as its configuration says: the one place where this is known."""

from dataclasses import dataclass
from typing import Final, Literal

from qibai.config import Config

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class NeededPort:
    """A port that a part opens."""

    part: str
    key: str  #: the key of the configuration that chooses it
    transport: Literal["udp", "tcp"]
    host: str
    number: int

    def __str__(self) -> str:
        return f"{self.transport.upper()} port {self.number}"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """The ports on which rtpengine relays media."""

    host: str
    least: int
    most: int


def needed_ports(config: Config) -> list[NeededPort]:
    """All of them, in the order in which the parts start; rtpengine's for media are ``media_range``."""
    api, voice, messaging = config.api, config.voice, config.messaging
    found: list[NeededPort] = []
    if messaging.enabled:
        servers = {link.protocol for link in messaging.links if link.role == "server"}
        for protocol, number in (("smpp", messaging.smpp_port), ("cmpp", messaging.cmpp_port)):
            if number and protocol in servers:
                key = f"messaging.{protocol}_port"
                found.append(NeededPort("gateway", key, "tcp", messaging.host, number))
        if config.sip_messages:
            found.append(NeededPort("gateway", "messaging.sip_port", "udp", LOOPBACK, messaging.sip_port))
    found.append(NeededPort("api", "api.port", "tcp", api.host, api.port))
    if not voice.enabled:
        return found
    if voice.media:
        found.append(NeededPort("rtpengine", "voice.media_ng_port", "udp", LOOPBACK, voice.media_ng_port))
    if voice.udp_port:
        found.append(NeededPort("kamailio", "voice.udp_port", "udp", voice.host, voice.udp_port))
    if voice.tcp_port:
        found.append(NeededPort("kamailio", "voice.tcp_port", "tcp", voice.host, voice.tcp_port))
    if voice.tls_port:
        found.append(NeededPort("kamailio", "voice.tls_port", "tcp", voice.host, voice.tls_port))
    if config.sip_messages:
        host, number = voice.inside
        if not any(("udp", host, number) == (one.transport, one.host, one.number) for one in found):
            key = (
                "voice.udp_port"
                if voice.udp_port
                else "voice.tcp_port"
                if voice.tcp_port
                else "voice.tls_port"
            )
            found.append(NeededPort("kamailio", key, "udp", host, number))
    return found


def media_range(config: Config) -> MediaRange | None:
    """Where media is relayed; None: media is not anchored here."""
    voice = config.voice
    if not (voice.enabled and voice.media):
        return None
    return MediaRange(voice.host, voice.media_port_min, voice.media_port_max)
