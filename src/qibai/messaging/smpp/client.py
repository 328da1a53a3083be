"""Our side as an ESME: binds as transceiver, over and over, to one message centre."""

import asyncio
import random
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import smpp34
import structlog

from qibai.config import MessageLink
from qibai.messaging.link import Inbox, LinkState, Rejected, Report
from qibai.messaging.smpp.base import DEFAULT_PORT, UNOFFERED, SmppLink, read_password
from qibai.messaging.smpp.mapping import read_sm
from qibai.messaging.smpp.receipts import as_answered, is_receipt, read_receipt
from qibai.messaging.smpp.session import Lost, NotSent, Session
from qibai.messaging.smpp.status import Status
from qibai.messaging.smpp.wire import (
    HEADER,
    RESPONSE,
    BadPdu,
    Command,
    as_submit,
    pdu,
    read_cstring,
    write_bind,
)

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0
_ACKNOWLEDGEMENTS: Final = 0x3C  #: message types: handsets' and people's, and notes on the way

log = structlog.get_logger(__name__)


class BindRefused(Exception):
    """The message centre does not let us in, or we cannot ask; the message says why."""


class SmppClient(SmppLink):
    """A link to a message centre: we submit, it delivers messages and receipts."""

    role = "client"

    def __init__(self, config: MessageLink) -> None:
        super().__init__(config, smpp34.SubmitSm)
        self._port = config.port or DEFAULT_PORT

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
        """A message centre takes no receipts from an ESME."""
        raise Rejected

    def _peer(self) -> str:
        return f"{self.config.host}:{self._port}"

    def _sends(self, session: Session) -> bool:
        return True

    def _message_id(self, frame: bytes) -> str:
        with suppress(BadPdu):
            named, _at = read_cstring(frame, HEADER.size)
            return as_answered(named.decode("ascii", "replace"), self.config.receipt_ids)[:64]
        return ""

    # -- the connection ----------------------------------------------------------------------

    async def _keep(self, stop: asyncio.Event) -> None:
        """One session, anew after each loss, with growing waits that are never the same twice."""
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
        log.warning("smpp_down", link=self.name, why=why)
        if not self.sessions and self._state is not LinkState.STOPPING:
            self.set_state(LinkState.CONNECTING, why)

    async def _bind(self) -> Session:
        config = self.config
        loop = asyncio.get_running_loop()
        try:
            bind = write_bind(Command.BIND_TRANSCEIVER, config.account, read_password(config))
        except (OSError, UnicodeError):
            raise BindRefused("password_file cannot be read, or is not ASCII") from None
        try:
            context = ssl.create_default_context(cafile=config.tls_ca or None) if config.tls else None
        except (OSError, ssl.SSLError):
            raise BindRefused("tls_ca cannot be read") from None
        async with asyncio.timeout(config.answer_s):
            _transport, session = await loop.create_connection(
                lambda: Session(self, name=self.name, answer_s=config.answer_s, enquire_s=config.enquire_s),
                config.host,
                self._port,
                ssl=context,
            )
        try:
            status, _frame = await session.request(bind)
        except BaseException:
            session.abort("no answer to the bind")
            raise
        if status != Status.ROK:
            session.close("bind refused")
            raise BindRefused(f"bind refused with status {status:#04x}")
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

    # -- messaging.smpp.session.Owner --------------------------------------------------------

    def opened(self, session: Session) -> None:
        pass

    def gone(self, session: Session) -> None:
        pass

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        sequence = int.from_bytes(frame[12:16], "big")
        if command in UNOFFERED or command not in (Command.DELIVER_SM, Command.DATA_SM):
            raise BadPdu(Status.RINVCMDID)
        sm = read_sm(as_submit(frame) if command == Command.DATA_SM else frame)
        if is_receipt(sm):
            receipt = read_receipt(sm, self.config.receipt_ids, datetime.now(UTC))
            if receipt is not None:
                await self.take_receipt(receipt)
        elif not sm.esm_class & _ACKNOWLEDGEMENTS:
            return await self.take(sm, command, sequence)
        return pdu(command | RESPONSE, sequence, b"\0")


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
