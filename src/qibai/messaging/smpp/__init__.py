"""SMPP 3.4 links: to message centres that we bind to, and for peers that bind to us."""

from qibai.config import Config, MessageLink
from qibai.core.errors import ConfigError
from qibai.messaging.smpp.client import SmppClient
from qibai.messaging.smpp.server import SmppAccount, SmppServer

__all__ = ["SmppAccount", "SmppClient", "SmppServer", "links"]


def links(config: Config) -> list[SmppClient | SmppAccount]:
    """Every SMPP link of the configuration. Raise ConfigError."""
    wanted = [link for link in config.messaging.links if link.protocol == "smpp"]
    for link in wanted:
        _check(link)
    clients = [link for link in wanted if link.role == "client"]
    accounts = [link for link in wanted if link.role == "server"]
    made: list[SmppClient | SmppAccount] = [SmppClient(link) for link in clients]
    if accounts:
        if not config.messaging.smpp_port:
            raise ConfigError("messaging.smpp_port: set it, or no SMPP peer can bind")
        if len({link.account for link in accounts}) < len(accounts):
            raise ConfigError("[[messaging.links]]: two SMPP peers have the same account")
        made += SmppServer(config.messaging, accounts).links
    return made


def _check(link: MessageLink) -> None:
    where = f"[[messaging.links]] {link.name}"
    if link.role == "client" and not link.host:
        raise ConfigError(f"{where}: host: name the message centre")
    if not 0 < len(link.account) <= 15 or not link.account.isascii():
        raise ConfigError(f"{where}: account: an SMPP system_id has 1 to 15 ASCII characters")
    if len(link.service) > 5 or not link.service.isascii():
        raise ConfigError(f"{where}: service: an SMPP service_type has at most 5 ASCII characters")
    if link.version not in ("", "3.4"):
        raise ConfigError(f"{where}: version: SMPP is 3.4")
