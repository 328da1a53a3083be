"""Values that are sound each by itself and contradict each other."""

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import combinations

from qibai.config import Config
from qibai.settings.needed import NeededPort, needed_ports

#: The keys that contradict each other, and what is wrong with them.
Contradiction = tuple[tuple[str, ...], str]


def contradictions(config: Config) -> Iterator[Contradiction]:
    """All that can be seen without looking at this machine."""
    yield from _times(config)
    yield from _tls(config)
    yield from _voice(config)
    yield from _links(config)
    yield from _among_media(config)
    for one, other in combinations(needed_ports(config), 2):
        if _same(one, other):
            keys = tuple(dict.fromkeys((one.key, other.key)))
            yield keys, f"both are {one.transport.upper()} port {one.number}; give each a port of its own"


def _times(config: Config) -> Iterator[Contradiction]:
    binding, voice = config.binding, config.voice
    for least, most, low, high in (
        (binding.default_ttl_s, binding.max_ttl_s, "binding.default_ttl_s", "binding.max_ttl_s"),
        (
            binding.default_max_call_s,
            binding.max_call_s,
            "binding.default_max_call_s",
            "binding.max_call_s",
        ),
        (voice.min_se_s, voice.session_expires_s, "voice.min_se_s", "voice.session_expires_s"),
    ):
        if least > most:
            yield (low, high), "the first must not be more than the second"


def _tls(config: Config) -> Iterator[Contradiction]:
    for section, part in (("api", config.api), ("voice", config.voice), ("messaging", config.messaging)):
        if bool(part.tls_cert) != bool(part.tls_key):
            yield (f"{section}.tls_cert", f"{section}.tls_key"), "they belong together: give both or none"
    voice = config.voice
    if voice.enabled and voice.tls_port and not (voice.tls_cert or voice.tls_key):
        yield ("voice.tls_port", "voice.tls_cert"), "a TLS port needs a certificate and its key"


def _voice(config: Config) -> Iterator[Contradiction]:
    voice = config.voice
    if not voice.enabled:
        return
    host = ip_address(voice.host)
    if host.is_unspecified or host.is_multicast:
        says = "peers have to see one address: give the address of this machine that they send to"
        yield ("voice.host",), says
    if not (voice.udp_port or voice.tcp_port or voice.tls_port):
        yield ("voice.udp_port", "voice.tcp_port", "voice.tls_port"), "all are off; give one a port"
    for peer in voice.peers:
        address = ip_address(peer.host)
        if address.is_unspecified or address.is_multicast:
            yield ("voice.peers",), f"host of peer {peer.name}: give the address of one machine"


def _among_media(config: Config) -> Iterator[Contradiction]:
    """rtpengine opens UDP ports that somebody has; those of voice itself are looked at with its section."""
    voice = config.voice
    if not (voice.enabled and voice.media):
        return
    for port in needed_ports(config):
        if (
            port.transport == "udp"
            and port.number in voice.media_ports
            and port.key not in ("voice.udp_port", "voice.media_ng_port")
        ):
            least, most = voice.media_ports[0], voice.media_ports[-1]
            yield (port.key,), f"{port.number} is among the ports for media, {least} to {most}"


def _links(config: Config) -> Iterator[Contradiction]:
    messaging = config.messaging
    if not messaging.enabled:
        return
    names = [link.name for link in messaging.links]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield ("messaging.links",), f"two links have the name {name}"
    for protocol, number in (("smpp", messaging.smpp_port), ("cmpp", messaging.cmpp_port)):
        servers = [one for one in messaging.links if (one.protocol, one.role) == (protocol, "server")]
        if servers and not number:
            key = f"messaging.{protocol}_port"
            yield (key, "messaging.links"), f"link {servers[0].name} waits for its peer, and no port is open"
    for link in messaging.links:
        if link.role == "client" and not link.host:
            yield ("messaging.links",), f"link {link.name} has no host to connect to"


def _same(one: NeededPort, other: NeededPort) -> bool:
    if (one.transport, one.number) != (other.transport, other.number):
        return False
    return one.host == other.host or "0.0.0.0" in (one.host, other.host) or "::" in (one.host, other.host)  # noqa: S104
