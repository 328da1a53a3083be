"""Our side as a message centre: an account for each peer that may bind."""

from collections.abc import Sequence
from typing import Final

import smpp34

from qibai.config import MessageLink, MessagingConfig
from qibai.messaging.smpp.base import UNOFFERED, SmppLink, SmppSession
from qibai.messaging.smpp.mapping import read_sm
from qibai.messaging.smpp.status import Status
from qibai.messaging.smpp.wire import BINDS, Bind, Command, as_submit, bind_answer, pdu, read_bind
from qibai.messaging.stream.server import AccountLink, Listener
from qibai.messaging.stream.session import RESPONSE, BadPdu, Session

SYSTEM_ID: Final = "qibai"


class SmppAccount(AccountLink, SmppLink):
    """A peer that binds to us: it submits, we deliver messages and receipts."""

    def __init__(self, server: "SmppServer", config: MessageLink) -> None:
        super().__init__(config, smpp34.DeliverSm)
        self.server: SmppServer = server

    def _sends(self, session: Session) -> bool:
        return self.server.bound_as(session) != Command.BIND_TRANSMITTER


class SmppServer(Listener):
    """Listens once for all accounts; ``links`` offers one Link for each."""

    protocol = "smpp"
    session = SmppSession

    def __init__(self, config: MessagingConfig, links: Sequence[MessageLink]) -> None:
        self.links = [SmppAccount(self, link) for link in links]
        super().__init__(config, config.smpp_port, self.links)
        self._kinds: dict[Session, int] = {}

    def bound_as(self, session: Session) -> int:
        """The kind of bind; 0: not bound."""
        return self._kinds.get(session, 0)

    def gone(self, session: Session) -> None:
        super().gone(session)
        self._kinds.pop(session, None)

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        sequence = session.wire.head(frame)[1]
        if command in BINDS:
            return await self._bind(session, read_bind(frame), sequence)
        account = self.account(session)
        if not isinstance(account, SmppAccount) or self.bound_as(session) == Command.BIND_RECEIVER:
            raise BadPdu(Status.RINVBNDSTS)
        if command in UNOFFERED:
            raise BadPdu(UNOFFERED[Command(command)])
        if command not in (Command.SUBMIT_SM, Command.DATA_SM):
            raise BadPdu(Status.RINVCMDID)
        sm = read_sm(as_submit(frame) if command == Command.DATA_SM else frame)
        return await account.take_sm(sm, command, sequence)

    async def _bind(self, session: Session, bind: Bind, sequence: int) -> bytes:
        if not self.begin(session):
            raise BadPdu(Status.RALYBND)
        named, secret = self.find(bind.system_id)
        account = await self.authenticated(session, named, secret, secret.encode(), bind.password)
        if account is not None and self.bind(session, account):
            self._kinds[session] = bind.command
            return bind_answer(bind, sequence, SYSTEM_ID)
        self.refuse(session)
        full = account is not None and account.takes_sessions
        return pdu(bind.command | RESPONSE, sequence, status=Status.RALYBND if full else Status.RBINDFAIL)
