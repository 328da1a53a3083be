"""Which addresses the platform may connect to on a tenant's word: none inside its own networks."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: An IPv4 address in the last four octets: NAT64 (RFC 6052, RFC 8215), translated (RFC 2765), compatible
#: (RFC 4291).
_LAST_FOUR: Final = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/96", "::ffff:0:0:0/96", "::/96"))
)
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  #: RFC 5214: before the last four octets


class AddressRefused(OSError):
    """The host is at no address that may be asked."""


class Allowed:
    """Public addresses, and those of the networks that the operator names."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """``networks``: CIDR blocks. Raise ValueError when one is malformed."""
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __call__(self, host: str) -> bool:
        """Whether ``host``, an address, may be connected to."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return all(self._one(part) for part in _parts(address))

    def _one(self, address: Address) -> bool:
        return (address.is_global and not address.is_multicast) or any(
            address in network for network in self._networks
        )


def _parts(address: Address) -> list[Address]:
    """The address and the IPv4 addresses that it stands for."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        if address.sixtofour is not None:
            found.append(address.sixtofour)
        if address.teredo is not None:
            found += address.teredo
        octets = address.packed
        if octets[8:12] in _ISATAP or any(address in network for network in _LAST_FOUR):
            found.append(ipaddress.IPv4Address(octets[-4:]))
    return found


class CheckedResolver(AbstractResolver):
    """Looks names up, and gives only addresses that are allowed: what is connected to is what was checked."""

    def __init__(self, inner: AbstractResolver, allowed: Allowed) -> None:
        self._inner, self._allowed = inner, allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raise AddressRefused when one of the host's addresses is not allowed."""
        found = await self._inner.resolve(host, port, family)
        if not all(self._allowed(one["host"]) for one in found):
            raise AddressRefused("the host is at an address that is not allowed")
        return found

    async def close(self) -> None:
        await self._inner.close()
