"""Who may send us calls, and where calls go: the peers of the configuration."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final

from qibai.config import Peer, VoiceConfig
from qibai.core.peers import Transport
from qibai.core.sip import Endpoint, uri_at, uri_host

LOOPBACK: Final = Peer(name="platform", host="127.0.0.1", priority=-1)
_MAX_CACHED: Final = 10_000


class Peers:
    """Peers by source address and by name. Trust is by address: stand behind the carrier's border."""

    def __init__(self, voice: VoiceConfig) -> None:
        self._by_address: dict[str, Peer | None] = {}
        self.by_name = {peer.name: peer for peer in voice.peers}
        self._by_uri = {uri_of(peer): peer for peer in voice.peers}
        self._blocks = [
            (ip_network(source, strict=False), peer)
            for peer in voice.peers
            for source in (peer.host, *peer.sources)
        ]

    def trusted(self, address: str) -> Peer | None:
        """The peer that sends from ``address``, the most exact block first; None when nobody does."""
        try:
            return self._by_address[address]
        except KeyError:
            pass
        ip = ip_address(address)
        found = [(block.prefixlen, peer) for block, peer in self._blocks if ip in block]
        peer = max(found, key=lambda entry: entry[0])[1] if found else None
        if len(self._by_address) < _MAX_CACHED:
            self._by_address[address] = peer
        return peer

    def at(self, uri: str) -> Peer | None:
        """The peer whose ``uri_of`` this is."""
        return self._by_uri.get(uri)


def uri_of(peer: Peer) -> str:
    """Where to send to, for ``$du`` and the dispatcher's list."""
    return uri_at(peer.host, peer.port, peer.transport)


def endpoints(voice: VoiceConfig) -> Mapping[str, Endpoint]:
    """Our own address by transport."""
    ports: dict[Transport, int] = {"udp": voice.udp_port, "tcp": voice.tcp_port, "tls": voice.tls_port}
    return {kind: Endpoint(uri_host(voice.host), port, kind) for kind, port in ports.items() if port}
