"""The server's way of life: one port for all peers of a protocol, an account for each."""

import asyncio
import hmac
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import ClassVar, Final

import structlog

from qibai.config import MessagingConfig
from qibai.core.errors import ConfigError
from qibai.messaging.link import Inbox, LinkState
from qibai.messaging.stream.link import PeerLink, read_password
from qibai.messaging.stream.session import Session

BIND_S: Final = 5.0  #: a connection that has not bound by then is closed
MAX_UNBOUND: Final = 64  #: connections that have not bound yet
MAX_UNBOUND_OF_ONE: Final = 8  #: of one address
REFUSAL_S: Final = 1.0  #: how long a wrong password waits for its answer

log = structlog.get_logger(__name__)


class AccountLink(PeerLink):
    """A peer that binds to us: it submits, we deliver messages and receipts."""

    role = "server"
    server: "Listener"

    async def run(self, inbox: Inbox, stop: asyncio.Event) -> None:
        """Take binds of this account; the port is open while any account runs."""
        self.inbox = inbox
        await self.server.open()
        try:
            self.set_state(LinkState.CONNECTING, "no peer has bound")
            await stop.wait()
            self.set_state(LinkState.STOPPING)
            await asyncio.gather(*(session.unbind() for session in list(self.sessions)))
        finally:
            self.inbox = None
            await self.server.close()
            self.set_state(LinkState.DOWN)

    @cached_property
    def _networks(self) -> list[IPv4Network | IPv6Network]:
        return [ip_network(source, strict=False) for source in self.config.sources]

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

    def admit(self, session: Session) -> bool:
        """Count a session whose password was right; False: there are enough, or none are taken now."""
        if not self.takes_sessions or len(self.sessions) >= self.config.sessions:
            return False
        self.sessions.append(session)
        self.set_state(LinkState.UP)
        return True

    @property
    def takes_sessions(self) -> bool:
        return self.inbox is not None and self._state is not LinkState.STOPPING

    def dismiss(self, session: Session) -> None:
        self.sessions.remove(session)
        if not self.sessions and self._state is LinkState.UP:
            self.set_state(LinkState.CONNECTING, session.reason)

    def _peer(self) -> str:
        return self.config.account


class Listener:
    """Listens once for all accounts; protocols say how a peer says who it is, and answer it then."""

    protocol: ClassVar[str]
    session: ClassVar[type[Session]]

    def __init__(self, config: MessagingConfig, port: int, links: Sequence[AccountLink]) -> None:
        self.port = port  #: 0 until it listens, if the system is to choose
        self._config = config
        self._links = links
        self._accounts: Mapping[str, AccountLink] = {link.config.account: link for link in links}
        self._bound: dict[Session, AccountLink] = {}
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
                    raise ConfigError(
                        f"messaging.{self.protocol}_port: it cannot be listened on; is it taken?"
                    ) from None
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

    def _session(self) -> Session:
        slowest = max((link.config.patience_s for link in self._links), default=10)
        return self.session(self, name=self.protocol, answer_s=slowest, enquire_s=BIND_S * 2)

    # -- for protocols -----------------------------------------------------------------------

    def begin(self, session: Session) -> bool:
        """Note a try to bind; each connection has one. False: it had it."""
        if session not in self._unbound or session in self._trying:
            return False
        self._trying.add(session)
        return True

    def account(self, session: Session) -> AccountLink | None:
        """Whose session it is, once it is bound."""
        return self._bound.get(session)

    def find(self, name: str) -> tuple[AccountLink | None, str]:
        """The account of this name and its password; None and "": there is none."""
        account = self._accounts.get(name)
        try:
            return account, read_password(account.config) if account else ""
        except (OSError, UnicodeError):
            log.error("password_file_unreadable", link=account.name if account else "")
            return account, ""

    async def authenticated(
        self, session: Session, account: AccountLink | None, secret: str, expected: bytes, given: bytes
    ) -> AccountLink | None:
        """The account if the peer has proved to be it. For a peer without an account and for a
        wrong password, the answer is the same and takes the same time."""
        right = hmac.compare_digest(expected, given) and bool(secret)
        if account is not None and right and account.allows(session.peer):
            return account
        log.warning("bind_refused", link=account.name if account else "")
        await asyncio.sleep(REFUSAL_S)
        return None

    def bind(self, session: Session, account: AccountLink) -> bool:
        """From here on it is a session of this account; False: it has enough."""
        if not account.admit(session):
            return False
        self._no_longer_unbound(session)
        self._bound[session] = account
        session.name = account.name
        session.answer_s, session.enquire_s = account.config.patience_s, account.config.enquire_s
        return True

    def refuse(self, session: Session) -> None:
        """Close the connection once the answer is written."""
        asyncio.get_running_loop().call_soon(session.close, "not let in")

    # -- messaging.stream.session.Owner ------------------------------------------------------

    def opened(self, session: Session) -> None:
        full = len(self._unbound) >= MAX_UNBOUND or self._per_address[session.peer] >= MAX_UNBOUND_OF_ONE
        if full or not any(account.allows(session.peer) for account in self._links):
            log.warning("turned_away", full=full)
            session.abort("too many connections" if full else "its address is not allowed")
            return
        self._per_address[session.peer] += 1
        loop = asyncio.get_running_loop()
        self._unbound[session] = loop.call_later(BIND_S, session.close, "did not bind in time")

    def gone(self, session: Session) -> None:
        self._no_longer_unbound(session)
        self._trying.discard(session)
        account = self._bound.pop(session, None)
        if account is not None:
            account.dismiss(session)

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        """Raise BadPdu, whose status is answered."""
        raise NotImplementedError

    def _no_longer_unbound(self, session: Session) -> None:
        timer = self._unbound.pop(session, None)
        if timer is not None:
            timer.cancel()
            self._per_address[session.peer] -= 1
            if not self._per_address[session.peer]:
                del self._per_address[session.peer]
