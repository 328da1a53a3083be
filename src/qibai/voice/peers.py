"""Peers: who may send us calls, by source address, and where calls go, for Kamailio's dispatcher."""

import ipaddress
from typing import Final

from qibai.config import Config, Peer
from qibai.core.errors import ConfigError

_MAX_CACHED: Final = 10_000

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def destination(peer: Peer) -> str:
    """The URI that the dispatcher probes and sends to."""
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    suffix = "" if peer.transport == "udp" else f";transport={peer.transport}"
    return f"sip:{host}:{peer.port}{suffix}"


def dispatcher_list(config: Config) -> str:
    """The dispatcher's list: set 1, one line for each peer that may be called. Raise ConfigError."""
    voice = config.voice
    ports = {"udp": voice.udp_port, "tcp": voice.tcp_port, "tls": voice.tls_port}
    lines = []
    for peer in voice.peers:
        if peer.priority < 0:
            continue
        if not ports[peer.transport]:
            raise ConfigError(f"peer {peer.name} needs voice.{peer.transport}_port, which is 0")
        socket = f"socket={peer.transport}:{voice.host}:{ports[peer.transport]}"
        lines.append(f"1 {destination(peer)} 0 {peer.priority} {socket}\n")
    return "".join(lines)


class Peers:
    """The configured peers by source address, by destination and by name."""

    def __init__(self, config: Config) -> None:
        """Raise ConfigError when a peer's address is not an address."""
        self._sources: list[tuple[_Network, Peer]] = []
        for peer in config.voice.peers:
            for source in (peer.host, *peer.sources):
                try:
                    self._sources.append((ipaddress.ip_network(source, strict=False), peer))
                except ValueError:
                    raise ConfigError(f"peer {peer.name}: give addresses, not names") from None
        self._cache: dict[str, Peer | None] = {}
        self._destinations = {destination(peer): peer for peer in config.voice.peers}

    def by_source(self, address: str) -> Peer | None:
        """The peer that may send from ``address``; the narrowest network wins."""
        try:
            return self._cache[address]
        except KeyError:
            pass
        source = ipaddress.ip_address(address.strip("[]"))
        found = [pair for pair in self._sources if pair[0].version == source.version and source in pair[0]]
        peer = max(found, key=lambda pair: pair[0].prefixlen)[1] if found else None
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[address] = peer
        return peer

    def by_destination(self, uri: str) -> Peer | None:
        """The peer that the dispatcher chose."""
        return self._destinations.get(uri)
