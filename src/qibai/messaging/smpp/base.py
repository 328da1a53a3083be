"""What both roles share: sessions, the window, the rate, and what comes in on any of them."""

import asyncio
import itertools
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from aiolimiter import AsyncLimiter

from qibai.config import MessageLink
from qibai.core.errors import StoreUnavailable
from qibai.messaging.link import (
    Inbox,
    InDoubt,
    LinkState,
    LinkStatus,
    NotNow,
    Outgoing,
    Receipt,
    Refused,
    Report,
)
from qibai.messaging.smpp.mapping import Sm, Writer, read_message
from qibai.messaging.smpp.session import Lost, NotSent, Session
from qibai.messaging.smpp.status import Status, answer_for, failure
from qibai.messaging.smpp.wire import RESPONSE, BadPdu, Command, cstring, pdu

log = structlog.get_logger(__name__)

DEFAULT_PORT: Final = 2775
#: Commands that belong to a role, and are answered so: we offer none of them.
UNOFFERED: Final = {
    Command.QUERY_SM: Status.RQUERYFAIL,
    Command.CANCEL_SM: Status.RCANCELFAIL,
    Command.REPLACE_SM: Status.RREPLACEFAIL,
}


def read_password(link: MessageLink) -> str:
    """The secret in ``password_file``, without the line's end; "" when none is named."""
    return Path(link.password_file).read_text("utf-8").strip() if link.password_file else ""


class SmppLink:
    """A peer of either role, as ``messaging.link.Link`` wants it, but for ``run``."""

    role = ""

    def __init__(self, config: MessageLink, sm: type[Any]) -> None:
        self.config = config
        self.inbox: Inbox | None = None
        self.sessions: list[Session] = []  #: bound ones
        self._writer = Writer(config, sm)
        self._window = asyncio.Semaphore(config.window)
        self._pace = AsyncLimiter(config.rate, 1.0) if config.rate else None
        self._unanswered: set[asyncio.Future[None]] = set()  #: submits that did not return yet
        # Ids of 19 digits mean the same to peers that take them for text, decimal or hexadecimal. They go on
        # from the microsecond of the start; three random digits, lest a clock that was set back repeats one.
        self._refs = itertools.count(time.time_ns() // 1000 * 1000 + secrets.randbelow(1000), 1000)
        self._state = LinkState.DOWN
        self._since = datetime.now(UTC)
        self._error = ""
        self._received = self._sent = self._refused = 0

    # -- messaging.link.Link -----------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def can_send(self) -> bool:
        return self._pick() is not None

    def status(self) -> LinkStatus:
        return LinkStatus(
            name=self.name,
            protocol="smpp",
            role=self.role,
            state=self._state,
            since=self._since,
            peer=self._peer(),
            sessions=len(self.sessions),
            in_flight=len(self._unanswered),
            window=self.config.window,
            received=self._received,
            sent=self._sent,
            refused=self._refused,
            error=self._error,
        )

    async def submit(self, outgoing: Outgoing) -> str:
        returned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._window:
            if self._pace is not None and self.can_send:
                await self._pace.acquire()
            self._unanswered.add(returned)
            try:
                status, frame = await self._request(self._writer.message(outgoing, datetime.now(UTC)))
            except Lost as lost:
                raise InDoubt from lost
            finally:
                self._unanswered.discard(returned)
                returned.set_result(None)
        if status != Status.ROK:
            self._refused += 1
            raise failure(status)
        self._sent += 1
        return self._message_id(frame)

    async def report(self, report: Report) -> None:
        try:
            status, _frame = await self._request(self._writer.report(report))
        except Lost as lost:  # the same again does no harm
            raise NotNow from lost
        if status != Status.ROK:
            raise failure(status)

    # -- for the roles -----------------------------------------------------------------------

    def _peer(self) -> str:
        raise NotImplementedError

    def _sends(self, session: Session) -> bool:
        """Whether this bound session takes messages from us."""
        raise NotImplementedError

    def _message_id(self, frame: bytes) -> str:
        """What receipts will name a part by, from the answer to it."""
        raise NotImplementedError

    def set_state(self, state: LinkState, error: str = "") -> None:
        if state is not self._state:
            self._since = datetime.now(UTC)
            log.info("link_state", link=self.name, state=state.value, error=error)
        self._state, self._error = state, error

    def _pick(self) -> Session | None:
        """The least busy session that takes messages."""
        usable = [session for session in self.sessions if not session.closing and self._sends(session)]
        return min(usable, key=lambda session: session.in_flight, default=None)

    async def _request(self, frame: bytes) -> tuple[int, bytes]:
        session = self._pick()
        if session is None:
            raise NotNow(link_down=True)
        try:
            return await session.request(frame)
        except NotSent:
            raise NotNow(link_down=not self.can_send) from None

    # -- what comes in -----------------------------------------------------------------------

    async def take(self, sm: Sm, command: int, sequence: int) -> bytes:
        """Hand a message to the gateway and answer as it decides."""
        if self.inbox is None:
            raise BadPdu(Status.RSYSERR)
        submitted = command != Command.DELIVER_SM and self.role == "server"
        ref = str(next(self._refs))
        received = read_message(sm, self.name, ref, datetime.now(UTC))
        self._received += 1
        verdict = await self.inbox.message(received)
        if isinstance(verdict, Refused):
            raise BadPdu(answer_for(verdict.reason, delivered=not submitted))
        return pdu(command | RESPONSE, sequence, cstring(ref if submitted else ""))

    async def take_receipt(self, receipt: Receipt) -> None:
        """Hand a receipt to the gateway. Raise BadPdu where the peer has to send it again."""
        if self.inbox is None:
            raise BadPdu(Status.RX_T_APPN)
        try:
            known = await self.inbox.receipt(self.name, receipt)
            if not known and self._unanswered:  # it overtook the answer to its submit
                await asyncio.wait(list(self._unanswered), timeout=self.config.answer_s)
                known = await self.inbox.receipt(self.name, receipt)
        except StoreUnavailable:
            raise BadPdu(Status.RX_T_APPN) from None
        if not known:
            log.info("receipt_unknown", link=self.name, state=receipt.state.value)
