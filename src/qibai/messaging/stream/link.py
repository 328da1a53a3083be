"""A peer of either role and protocol: its sessions, window, rate, counters, and what comes in on them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

import structlog
from aiolimiter import AsyncLimiter

from qibai.config import MessageLink
from qibai.core.errors import StoreUnavailable
from qibai.core.messages import MessageReason
from qibai.messaging.link import (
    Inbox,
    InDoubt,
    LinkState,
    LinkStatus,
    NotNow,
    Outgoing,
    Receipt,
    Received,
    Refused,
    Report,
    SubmitError,
    Taken,
)
from qibai.messaging.stream.session import Lost, NotSent, Session

log = structlog.get_logger(__name__)


def read_password(link: MessageLink) -> str:
    """The secret in ``password_file``, without the line's end; "" when none is named."""
    return Path(link.password_file).read_text("utf-8").strip() if link.password_file else ""


class PeerLink:
    """A peer as ``messaging.link.Link`` wants it, but for ``run``; protocols say how PDUs are written."""

    protocol: ClassVar[str]
    role: ClassVar[str]

    def __init__(self, config: MessageLink) -> None:
        self.config = config
        self.inbox: Inbox | None = None
        self.sessions: list[Session] = []  #: bound ones
        self._window = asyncio.Semaphore(config.window)
        self._pace = AsyncLimiter(config.rate, 1.0) if config.rate else None
        self._state = LinkState.DOWN
        self._since = datetime.now(UTC)
        self._error = ""
        self._in_flight = self._received = self._sent = self._refused = self._unread = self._late = 0

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
            protocol=self.protocol,
            role=self.role,
            state=self._state,
            since=self._since,
            peer=self._peer(),
            sessions=len(self.sessions),
            in_flight=self._in_flight,
            window=self.config.window,
            received=self._received,
            sent=self._sent,
            refused=self._refused,
            unread=self._unread,
            late=self._late,
            error=self._error,
        )

    async def submit(self, outgoing: Outgoing) -> str:
        async with self._window:
            if self._pace is not None and self.can_send:
                await self._pace.acquire()
            self._in_flight += 1
            try:
                answer = await self._request(
                    partial(self._write, outgoing), outgoing.leaving, partial(self._answered_late, outgoing)
                )
            except Lost as lost:
                raise InDoubt(lost.again_s) from lost
            finally:
                self._in_flight -= 1
        try:
            ref = self._read_answer(answer)
        except SubmitError:
            self._refused += 1
            raise
        self._sent += 1
        return ref

    def _answered_late(self, outgoing: Outgoing, answer: bytes) -> None:
        self._late += 1
        try:
            ref = self._read_answer(answer)
        except SubmitError as problem:
            self._refused += 1
            outgoing.late(problem)
        else:
            self._sent += 1
            outgoing.late(ref)

    async def report(self, report: Report) -> None:
        try:
            answer = await self._request(partial(self._write_report, report))
        except Lost as lost:  # the same again does no harm
            raise NotNow from lost
        self._read_answer(answer)

    # -- for protocols and roles -------------------------------------------------------------

    def _peer(self) -> str:
        """For the status: who it is."""
        raise NotImplementedError

    def _write(self, outgoing: Outgoing, session: Session) -> bytes:
        """The PDU for a part; its sequence number is the session's to set. Raise Rejected."""
        raise NotImplementedError

    def _write_report(self, report: Report, session: Session) -> bytes:
        raise NotImplementedError

    def _read_answer(self, frame: bytes) -> str:
        """What receipts will name the part by; "" when there will be none. Raise SubmitError."""
        raise NotImplementedError

    def _sends(self, session: Session) -> bool:
        """Whether this bound session takes messages from us."""
        return True

    def set_state(self, state: LinkState, error: str = "") -> None:
        if state is not self._state:
            self._since = datetime.now(UTC)
            log.info("link_state", link=self.name, state=state.value, error=error)
        self._state, self._error = state, error

    def _pick(self) -> Session | None:
        """The least busy session that takes messages."""
        usable = [session for session in self.sessions if not session.closing and self._sends(session)]
        return min(usable, key=lambda session: session.in_flight, default=None)

    async def _request(
        self,
        write: Callable[[Session], bytes],
        leaving: Callable[[], None] | None = None,
        late: Callable[[bytes], None] | None = None,
    ) -> bytes:
        session = self._pick()
        if session is None:
            raise NotNow(link_down=True)
        try:
            return await session.request(write(session), leaving, late)
        except NotSent:
            raise NotNow(link_down=not self.can_send) from None

    # -- what comes in -----------------------------------------------------------------------

    async def take(self, received: Received) -> Taken | Refused:
        """Hand a message to the gateway."""
        if self.inbox is None:
            return Refused(MessageReason.STORE_UNAVAILABLE)
        self._received += 1
        return await self.inbox.message(received)

    def note_unread(self) -> None:
        """Count a receipt that cannot be read; it is acknowledged, as it would only come again."""
        self._unread += 1
        log.warning("receipt_unread", link=self.name)

    async def take_receipt(self, receipt: Receipt) -> bool:
        """Hand a receipt to the gateway; False: it only reads as a receipt, and is about no message of ours.

        Raise StoreUnavailable: the peer has to send it again.
        """
        if self.inbox is None:
            raise StoreUnavailable("the link does not run")
        if not receipt.sure and not await self.inbox.is_ours(self.name, receipt):
            return False
        if receipt.state.is_final and not await self.inbox.receipt(self.name, receipt):
            log.info("receipt_unknown", link=self.name, state=receipt.state.value)
        return True
