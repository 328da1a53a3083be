"""CMPP links of ours for tests."""

from pathlib import Path
from typing import Any

from qibai.config import MessageLink, MessagingConfig
from qibai.messaging.cmpp import CmppClient, CmppServer
from qibai.testing.cmpp import ACCOUNT
from smpp_tools import eventually, password


def client(folder: Path, port: int, **fields: Any) -> CmppClient:
    given: dict[str, Any] = {
        "name": "ismg",
        "protocol": "cmpp",
        "host": "127.0.0.1",
        "port": port,
        "account": ACCOUNT,
        "password_file": password(folder),
        "service": "QIBAI",
    }
    return CmppClient(MessageLink(**given | fields))


def server(folder: Path, *accounts: dict[str, Any], **config: Any) -> CmppServer:
    """One account ``901234`` with password ``secret`` unless ``accounts`` are given."""
    links = [
        MessageLink(
            **{
                "name": "peer",
                "protocol": "cmpp",
                "role": "server",
                "account": ACCOUNT,
                "password_file": password(folder),
                "sessions": 4,
                "service": "QIBAI",
            }
            | account
        )
        for account in accounts or ({},)
    ]
    return CmppServer(MessagingConfig(**config), links)


async def listening(made: CmppServer) -> int:
    await eventually(lambda: made.port)
    return made.port
