"""The client's way of life: connect, greet, serve, and again after each loss."""

import asyncio
import random
import ssl
from typing import ClassVar, Final

import structlog

from qibai.messaging.link import Inbox, LinkState, Rejected, Report
from qibai.messaging.names import addresses_of
from qibai.messaging.stream.link import PeerLink, read_password
from qibai.messaging.stream.session import Lost, NotSent, Session

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0

log = structlog.get_logger(__name__)


class BindRefused(Exception):
    """The peer does not let us in, or we cannot ask; the message says why."""


class ClientLink(PeerLink):
    """A link to a carrier's message centre: we submit, it delivers messages and receipts."""

    role = "client"
    default_port: ClassVar[int]
    session: ClassVar[type[Session]]

    def _port(self) -> int:
        return self.config.port or self.default_port

    async def run(self, inbox: Inbox, stop: asyncio.Event) -> None:
        self.inbox = inbox
        self.set_state(LinkState.CONNECTING)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.config.sessions):
                group.create_task(self._keep(stop))
            await stop.wait()
            self.set_state(LinkState.STOPPING)
        self.set_state(LinkState.DOWN)

    async def report(self, report: Report) -> None:
        """A message centre takes no receipts."""
        raise Rejected

    def _peer(self) -> str:
        return f"{self.config.host}:{self._port()}"

    def _hello(self, password: str) -> bytes:
        """The PDU that says who we are. Raise UnicodeError when it cannot say the password."""
        raise NotImplementedError

    def _welcomed(self, session: Session, hello: bytes, answer: bytes, password: str) -> None:
        """Read the answer to our hello. Raise BindRefused."""
        raise NotImplementedError

    # -- the connection ----------------------------------------------------------------------

    async def _keep(self, stop: asyncio.Event) -> None:
        """One session after the other: a lost one is opened again, after growing waits of random length."""
        wait = _FIRST_WAIT_S
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    session = await self._bind()
                except (OSError, TimeoutError, ssl.SSLError, BindRefused, Lost, NotSent) as exc:
                    self._failed(_why(exc))
                else:
                    wait = _FIRST_WAIT_S
                    await self._serve(session, stopped)
                    if stop.is_set():
                        return
                    self._failed(session.reason)
                await asyncio.wait({stopped}, timeout=wait * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
                wait = min(wait * 2, _LONGEST_WAIT_S)
        finally:
            stopped.cancel()

    def _failed(self, why: str) -> None:
        log.warning("link_down", link=self.name, why=why)
        if not self.sessions and self._state is not LinkState.STOPPING:
            self.set_state(LinkState.CONNECTING, why)

    async def _bind(self) -> Session:
        config = self.config
        loop = asyncio.get_running_loop()
        try:
            password = read_password(config)
            hello = self._hello(password)
        except (OSError, UnicodeError):
            raise BindRefused("password_file cannot be read, or is not ASCII") from None
        try:
            context = ssl.create_default_context(cafile=config.tls_ca or None) if config.tls else None
        except (OSError, ssl.SSLError):
            raise BindRefused("tls_ca cannot be read") from None
        async with asyncio.timeout(config.patience_s):
            *others, last = await addresses_of(config.host)
            for address in (*others, last):
                try:
                    _transport, session = await loop.create_connection(
                        lambda: self.session(
                            self, name=self.name, answer_s=config.patience_s, enquire_s=config.enquire_s
                        ),
                        address,
                        self._port(),
                        ssl=context,
                        server_hostname=config.host if context else None,
                    )
                    break
                except OSError:
                    if address is last:
                        raise
        try:
            self._welcomed(session, hello, await session.request(hello), password)
        except BindRefused:
            session.close("not let in")
            raise
        except BaseException:
            session.abort("no answer to the greeting")
            raise
        return session

    async def _serve(self, session: Session, stopped: asyncio.Task[bool]) -> None:
        self.sessions.append(session)
        if not stopped.done():
            self.set_state(LinkState.UP)
        closed = asyncio.create_task(session.closed.wait())
        try:
            await asyncio.wait({closed, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await session.unbind()
        finally:
            closed.cancel()
            self.sessions.remove(session)

    # -- messaging.stream.session.Owner --------------------------------------------------------

    def opened(self, session: Session) -> None:
        pass

    def gone(self, session: Session) -> None:
        pass

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        raise NotImplementedError


def _why(exc: Exception) -> str:
    """In a few words, without what a peer or a resolver may have said."""
    if isinstance(exc, BindRefused):
        return str(exc)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return "its certificate cannot be verified"
    if isinstance(exc, ssl.SSLError):
        return "TLS failed"
    if isinstance(exc, TimeoutError | Lost):
        return "no answer"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    return "cannot connect"
