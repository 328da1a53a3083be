"""Our side as a message centre: one port, an account for each peer that may bind."""

import asyncio
import hmac
import ssl
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final

import smpp34
import structlog

from qibai.config import MessageLink, MessagingConfig
from qibai.core.errors import ConfigError
from qibai.messaging.link import Inbox, LinkState
from qibai.messaging.smpp.base import UNOFFERED, SmppLink, read_password
from qibai.messaging.smpp.mapping import read_sm
from qibai.messaging.smpp.session import Session
from qibai.messaging.smpp.status import Status
from qibai.messaging.smpp.wire import (
    BINDS,
    RESPONSE,
    BadPdu,
    Bind,
    Command,
    as_submit,
    bind_answer,
    pdu,
    read_bind,
)

BIND_S: Final = 5.0  #: a connection that has not bound by then is closed
MAX_UNBOUND: Final = 64  #: connections that have not bound yet
MAX_UNBOUND_OF_ONE: Final = 8  #: of one address
REFUSAL_S: Final = 1.0  #: how long a wrong password waits for its answer
SYSTEM_ID: Final = "qibai"

log = structlog.get_logger(__name__)


class SmppAccount(SmppLink):
    """A peer that binds to us: it submits, we deliver messages and receipts."""

    role = "server"

    def __init__(self, server: "SmppServer", config: MessageLink) -> None:
        super().__init__(config, smpp34.DeliverSm)
        self._server = server
        self._networks = [ip_network(source, strict=False) for source in config.sources]

    async def run(self, inbox: Inbox, stop: asyncio.Event) -> None:
        """Take binds of this account; the port is open while any account runs."""
        self.inbox = inbox
        await self._server.open()
        try:
            self.set_state(LinkState.CONNECTING, "no peer has bound")
            await stop.wait()
            self.set_state(LinkState.STOPPING)
            await asyncio.gather(*(session.unbind() for session in list(self.sessions)))
        finally:
            self.inbox = None
            await self._server.close()
            self.set_state(LinkState.DOWN)

    def allows(self, address: str) -> bool:
        """Whether this peer may come from ``address``."""
        if not self._networks:
            return True
        try:
            source = ip_address(address)
        except ValueError:
            return False
        source = getattr(source, "ipv4_mapped", None) or source
        return any(source in network for network in self._networks)

    def admit(self, session: Session) -> None:
        """Count a session whose password was right. Raise BadPdu when there are enough."""
        if self.inbox is None or self._state is LinkState.STOPPING:
            raise BadPdu(Status.RBINDFAIL)
        if len(self.sessions) >= self.config.sessions:
            raise BadPdu(Status.RALYBND)
        self.sessions.append(session)
        self.set_state(LinkState.UP)

    def dismiss(self, session: Session) -> None:
        self.sessions.remove(session)
        if not self.sessions and self._state is LinkState.UP:
            self.set_state(LinkState.CONNECTING, session.reason)

    def _peer(self) -> str:
        return self.config.account

    def _sends(self, session: Session) -> bool:
        return self._server.bound_as(session) != Command.BIND_TRANSMITTER

    def _message_id(self, frame: bytes) -> str:
        """The answer to a deliver_sm is the last that we hear of it."""
        return ""


class SmppServer:
    """Listens once for all accounts; ``links`` offers one Link for each."""

    def __init__(self, config: MessagingConfig, links: Sequence[MessageLink]) -> None:
        self.links = [SmppAccount(self, link) for link in links]
        self.port = config.smpp_port  #: 0 until it listens, if the system is to choose
        self._config = config
        self._accounts = {link.account: account for link, account in zip(links, self.links, strict=True)}
        self._bound: dict[Session, tuple[SmppAccount, int]] = {}
        self._unbound: dict[Session, asyncio.TimerHandle] = {}
        self._trying: set[Session] = set()
        self._per_address: Counter[str] = Counter()
        self._lock = asyncio.Lock()
        self._users = 0
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, unless another account does already. Raise ConfigError."""
        async with self._lock:
            if self._listener is None:
                config = self._config
                context = None
                if config.tls_cert:
                    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                    try:
                        context.load_cert_chain(config.tls_cert, config.tls_key or None)
                    except (OSError, ssl.SSLError):
                        raise ConfigError("messaging.tls_cert, tls_key: they cannot be read") from None
                handshake_s = BIND_S if context else None
                loop = asyncio.get_running_loop()
                try:
                    self._listener = await loop.create_server(
                        self._session, config.host, self.port, ssl=context, ssl_handshake_timeout=handshake_s
                    )
                except OSError:
                    raise ConfigError("messaging.smpp_port: it cannot be listened on; is it taken?") from None
                self.port = self._listener.sockets[0].getsockname()[1]
            self._users += 1

    async def close(self) -> None:
        async with self._lock:
            self._users -= 1
            if self._users == 0 and self._listener is not None:
                self._listener.close()
                self._listener = None
                for session in list(self._unbound):
                    session.abort("stopping")

    def bound_as(self, session: Session) -> int:
        """The kind of bind; 0: not bound."""
        bound = self._bound.get(session)
        return bound[1] if bound else 0

    def _session(self) -> Session:
        slowest = max((link.config.answer_s for link in self.links), default=10)
        return Session(self, name="smpp", answer_s=slowest, enquire_s=BIND_S * 2)

    # -- messaging.smpp.session.Owner --------------------------------------------------------

    def opened(self, session: Session) -> None:
        full = len(self._unbound) >= MAX_UNBOUND or self._per_address[session.peer] >= MAX_UNBOUND_OF_ONE
        if full or not any(account.allows(session.peer) for account in self.links):
            log.warning("smpp_turned_away", full=full)
            session.abort("too many connections" if full else "its address is not allowed")
            return
        self._per_address[session.peer] += 1
        loop = asyncio.get_running_loop()
        self._unbound[session] = loop.call_later(BIND_S, session.close, "did not bind in time")

    def gone(self, session: Session) -> None:
        self._no_longer_unbound(session)
        self._trying.discard(session)
        bound = self._bound.pop(session, None)
        if bound is not None:
            bound[0].dismiss(session)

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        sequence = int.from_bytes(frame[12:16], "big")
        if command in BINDS:
            return await self._bind(session, read_bind(frame), sequence)
        account, kind = self._bound.get(session, (None, 0))
        if account is None or kind == Command.BIND_RECEIVER:
            raise BadPdu(Status.RINVBNDSTS)
        if command in UNOFFERED:
            raise BadPdu(UNOFFERED[Command(command)])
        if command not in (Command.SUBMIT_SM, Command.DATA_SM):
            raise BadPdu(Status.RINVCMDID)
        sm = read_sm(as_submit(frame) if command == Command.DATA_SM else frame)
        return await account.take(sm, command, sequence)

    async def _bind(self, session: Session, bind: Bind, sequence: int) -> bytes:
        if session not in self._unbound or session in self._trying:
            raise BadPdu(Status.RALYBND)
        self._trying.add(session)  # one try a connection
        account = self._accounts.get(bind.system_id)
        try:
            secret = read_password(account.config) if account else ""
        except (OSError, UnicodeError):
            log.error("smpp_password_file", link=account.name if account else "")
            secret = ""
        # Who has no account and who has a wrong password hear the same, after the same work.
        right = hmac.compare_digest(secret.encode(), bind.password) and bool(secret)
        if account is None or not right or not account.allows(session.peer):
            log.warning("smpp_bind_refused", link=account.name if account else "")
            await asyncio.sleep(REFUSAL_S)
            return self._refused(session, bind, sequence, Status.RBINDFAIL)
        try:
            account.admit(session)
        except BadPdu as bad:
            return self._refused(session, bind, sequence, bad.status)
        self._no_longer_unbound(session)
        self._bound[session] = (account, bind.command)
        session.name = account.name
        session.answer_s, session.enquire_s = account.config.answer_s, account.config.enquire_s
        return bind_answer(bind, sequence, SYSTEM_ID)

    def _refused(self, session: Session, bind: Bind, sequence: int, status: Status) -> bytes:
        asyncio.get_running_loop().call_soon(session.close, "bind refused")  # after this answer
        return pdu(bind.command | RESPONSE, sequence, status=status)

    def _no_longer_unbound(self, session: Session) -> None:
        timer = self._unbound.pop(session, None)
        if timer is not None:
            timer.cancel()
            self._per_address[session.peer] -= 1
            if not self._per_address[session.peer]:
                del self._per_address[session.peer]
