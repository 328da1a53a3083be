"""The links that the configuration asks for, made by a function for each protocol."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qibai.config import Config
from qibai.core.errors import ConfigError
from qibai.messaging.link import Link
from qibai.messaging.outlets import WHOLE, Outlet
from qibai.store.keys import Keyring

#: Makes all links of one protocol: clients, and a server's, one for each account. Raises ConfigError.
Factory = Callable[[Config, Keyring], Sequence[Link]]


def _smpp(config: Config, keyring: Keyring) -> Sequence[Link]:
    from qibai.messaging import smpp  # noqa: PLC0415  # only where it is wanted

    return smpp.links(config)


def _cmpp(config: Config, keyring: Keyring) -> Sequence[Link]:
    from qibai.messaging import cmpp  # noqa: PLC0415  # as above

    return cmpp.links(config)


def _sip(config: Config, keyring: Keyring) -> Sequence[Link]:
    from qibai.messaging.sip import SipLink  # noqa: PLC0415  # as above

    return [SipLink(config, keyring)]


#: By protocol.
FACTORIES: Final[Mapping[str, Factory]] = {"smpp": _smpp, "cmpp": _cmpp, "sip": _sip}


def outlets(config: Config, keyring: Keyring, factories: Mapping[str, Factory] = FACTORIES) -> list[Outlet]:
    """Every configured link. Raise ConfigError."""
    messaging = config.messaging
    named = {link.name: link for link in messaging.links}
    if len(named) < len(messaging.links):
        raise ConfigError("[[messaging.links]]: two links have the same name")
    made: list[Outlet] = []
    for protocol in sorted({link.protocol for link in messaging.links}):
        if protocol not in factories:
            raise ConfigError(f"[[messaging.links]]: there are no links of protocol {protocol}")
        for link in factories[protocol](config, keyring):
            found = named[link.name]
            made.append(Outlet(link, found.priority, tuple(found.prefixes), found.long))
    if messaging.sip and config.voice.enabled and "sip" in factories:
        made += [
            Outlet(link, messaging.sip_priority, (), WHOLE) for link in factories["sip"](config, keyring)
        ]
    return made
