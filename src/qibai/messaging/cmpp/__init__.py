"""CMPP 2.0 and 3.0 links: to carriers' gateways that we connect to, and for peers that connect to us."""

from qibai.config import Config, MessageLink
from qibai.core.errors import ConfigError
from qibai.messaging.cmpp.client import CmppClient
from qibai.messaging.cmpp.server import CmppAccount, CmppServer

__all__ = ["CmppAccount", "CmppClient", "CmppServer", "links"]


def links(config: Config) -> list[CmppClient | CmppAccount]:
    """Every CMPP link of the configuration. Raise ConfigError."""
    wanted = [link for link in config.messaging.links if link.protocol == "cmpp"]
    for link in wanted:
        _check(link)
    clients = [link for link in wanted if link.role == "client"]
    accounts = [link for link in wanted if link.role == "server"]
    made: list[CmppClient | CmppAccount] = [CmppClient(link) for link in clients]
    if accounts:
        if not config.messaging.cmpp_port:
            raise ConfigError("messaging.cmpp_port: set it, or no CMPP peer can connect")
        if len({link.account for link in accounts}) < len(accounts):
            raise ConfigError("[[messaging.links]]: two CMPP peers have the same account")
        made += CmppServer(config.messaging, accounts).links
    return made


def _check(link: MessageLink) -> None:
    where = f"[[messaging.links]] {link.name}"
    if link.role == "client" and not link.host:
        raise ConfigError(f"{where}: host: name the carrier's gateway")
    if len(link.account) != 6 or not link.account.isascii():
        raise ConfigError(f"{where}: account: a CMPP Source_Addr has six ASCII characters")
    if len(link.service) > 10 or not link.service.isascii():
        raise ConfigError(f"{where}: service: a CMPP Service_Id has at most ten ASCII characters")
    if len(link.fee_type) != 2 or len(link.fee_code) > 6 or not (link.fee_type + link.fee_code).isascii():
        raise ConfigError(f"{where}: fee_type, fee_code: two, and at most six ASCII characters")
    if link.version not in ("", "2.0", "3.0"):
        raise ConfigError(f"{where}: version: CMPP is 2.0 or 3.0")
    if link.long not in ("udh8", "udh16"):
        raise ConfigError(f"{where}: long: CMPP has udh8 and udh16")
