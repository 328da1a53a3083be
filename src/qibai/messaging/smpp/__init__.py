"""SMPP 3.4 links: to message centres that we bind to, and for peers that bind to us."""

from qibai.messaging.smpp.client import SmppClient
from qibai.messaging.smpp.server import SmppAccount, SmppServer

__all__ = ["SmppAccount", "SmppClient", "SmppServer"]
