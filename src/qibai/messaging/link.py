"""What the gateway and its links say to each other; a link speaks one protocol with one peer.

A link turns PDUs into these types and back, keeps its connection, window and rates, and knows no rule. The
gateway decides, stores and retries, and knows no protocol.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import Part


@dataclass(frozen=True, slots=True)
class Received:
    """A message, or one part of a long one, that a peer hands to us. ``repr`` shows no number and no text."""

    link: str  #: the link's name
    ref: str  #: the id under which the peer will hear of it again; unique on its link, at most 64 characters
    source: str  #: the sender as the peer wrote it: ``+86138…``, ``138…`` or ``86138…``
    destination: str  #: the 700 number as the peer wrote it
    part: Part
    wants_receipt: bool = False
    wants_failures: bool = False  #: a receipt, but only if it is not delivered
    valid_until: datetime | None = None  #: with UTC offset; None: as long as we see fit

    def __repr__(self) -> str:
        return f"<Received {self.link} {self.ref} {self.part!r}>"


@dataclass(frozen=True, slots=True)
class Taken:
    """The message is durable: the peer may forget it."""

    id: int  #: core.ids


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody gets it. The link answers with its protocol's fitting status."""

    reason: MessageReason
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One part for a peer. ``repr`` shows no number and no text."""

    code: int  #: with ``id`` and the part's place: what the gateway knows it by
    id: int
    source: str  #: the 700 number that the receiver sees, 15 digits
    destination: str  #: the receiver, E.164 with ``+``
    part: Part
    valid_until: datetime
    #: The link calls it before the part is written to a connection. StoreUnavailable: it must not go out.
    leaving: Callable[[], None] = field(default=lambda: None, compare=False)
    #: The link calls it with an answer that came after ``submit`` had raised InDoubt.
    late: Callable[["str | SubmitError"], None] = field(default=lambda answer: None, compare=False)

    def __repr__(self) -> str:
        return f"<Outgoing {self.code:08d}/{self.id} {self.part!r}>"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a part; from a peer about one of ours, or from us about one of the peer's."""

    ref: str  #: the id that was given when the part was taken
    state: MessageState
    at: datetime  #: by our own clock; what a peer says of time decides nothing
    error: str = ""  #: the network's own error code, if it gave one; digits and letters only, at most 16
    others: tuple[str, ...] = ()  #: from a peer: other ids that it may mean, the likeliest first
    stated_at: datetime | None = None  #: from a peer: the date that it gives
    ends: tuple[str, str] | None = None  #: from a peer: the numbers that it names, as it wrote them
    #: From a peer: it says that it is a receipt; else its text reads as a receipt, which anybody can write.
    sure: bool = True

    def __repr__(self) -> str:
        return f"<Receipt {self.ref} {self.state}>"


@dataclass(frozen=True, slots=True)
class Report:
    """A receipt that goes back to the sender of a message. ``repr`` shows no number."""

    receipt: Receipt
    source: str  #: the 700 number that the message was sent to
    destination: str  #: its sender, E.164 with ``+``
    submitted_at: datetime

    def __repr__(self) -> str:
        return f"<Report {self.receipt}>"


class SubmitError(Exception):
    """A peer did not take a part."""


class NotNow(SubmitError):
    """Not now, perhaps later or through another link: throttled, full, not connected. It was NOT taken."""

    def __init__(self, retry_after_s: float | None = None, *, link_down: bool = False) -> None:
        super().__init__("not now")
        self.retry_after_s = retry_after_s
        self.link_down = link_down


class Rejected(SubmitError):
    """Never: the peer refuses it for good. ``error`` is its status, digits and letters only."""

    def __init__(self, error: str = "") -> None:
        super().__init__("rejected")
        self.error = error


class InDoubt(SubmitError):
    """The part went out and was not answered: it may have been taken, or not."""

    def __init__(self, again_s: float | None = None) -> None:
        """``again_s``: the connection lives, so an answer may still come; do not repeat the part before."""
        super().__init__("in doubt")
        self.again_s = again_s


class LinkState(StrEnum):
    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """For ``qibai links``, doctor and metrics."""

    name: str
    protocol: str  #: sip, smpp, cmpp
    role: str  #: client, server
    state: LinkState
    since: datetime
    peer: str  #: host:port, or the account of a server's peer
    sessions: int  #: bound connections
    in_flight: int  #: submits without an answer yet
    window: int
    received: int  #: parts since the gateway started
    sent: int
    refused: int  #: by the peer
    unread: int = 0  #: receipts that could not be read
    late: int = 0  #: answers that came after their time
    error: str = ""  #: why it is down, in a few words; no number, no secret


class Inbox(Protocol):
    """The gateway, as links see it. Both return only once the fact is durable."""

    async def message(self, received: Received) -> Taken | Refused:
        """Decide and keep a message. The same ``ref`` on the same link: the same answer, no second one."""

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        """Note what became of a part; False: nobody here knows it (yet), so it is kept for whoever will.

        Raise StoreUnavailable: not kept, so do not acknowledge."""

    async def is_ours(self, link: str, receipt: Receipt) -> bool:
        """Whether what is not ``sure`` names a message of ours by its id and by both its numbers.

        Raise StoreUnavailable."""


class Link(Protocol):
    """A link, as the gateway sees it."""

    @property
    def name(self) -> str: ...

    @property
    def can_send(self) -> bool:
        """Whether a submit has a chance just now."""

    def status(self) -> LinkStatus: ...

    async def run(self, inbox: Inbox, stop: asyncio.Event) -> None:
        """Connect or listen, and again after each loss, until ``stop``; then unbind in order."""

    async def submit(self, outgoing: Outgoing) -> str:
        """Send one part and return the peer's id for it, by which a receipt will name it ("" when none will
        come: the peer's answer is final). Waits for a place in the window. Raise SubmitError."""

    async def report(self, report: Report) -> None:
        """Tell the sender's peer what became of a part. Returns once the peer has acknowledged it. Raise
        NotNow or Rejected."""
