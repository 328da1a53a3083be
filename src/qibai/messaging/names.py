"""Names of hosts, looked up without a thread: a name server that does not answer holds nobody else up."""

import socket
from collections.abc import Sequence
from typing import Final

from aiohttp import AsyncResolver
from aiohttp.abc import AbstractResolver
from aiohttp.helpers import is_ip_address

_TRY_S: Final = 1.0  #: one name server's time for one try
_TRIES: Final = 3


def resolver(nameservers: Sequence[str] = ()) -> AbstractResolver:
    """Asks the system's name servers, or those given as ``address`` or ``address:port``; reads /etc/hosts.

    Every look-up is on its own. Cancelled with whoever waits for it. Needs a running event loop.
    """
    servers = list(nameservers) or None
    return AsyncResolver(nameservers=servers, timeout=_TRY_S, tries=_TRIES)


async def addresses_of(host: str) -> list[str]:
    """The addresses of a host, itself if it is one. Raise OSError."""
    if is_ip_address(host):
        return [host]
    made = resolver()
    try:
        found = await made.resolve(host, 0, socket.AF_UNSPEC)
    finally:
        await made.close()
    return [one["host"] for one in found]
