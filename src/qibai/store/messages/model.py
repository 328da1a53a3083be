"""Messages as rows and as records."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from qibai.core.errors import SealBroken
from qibai.core.messages import MessageState
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.store.keys import Keyring, binding_aad

CHANNEL: Final = "qibai_message"  #: NOTIFY: a message waits for a gateway to take it


#: message.flags
WANTS_RECEIPT: Final = 1
WANTS_FAILURES: Final = 2
HAS_NUMBER: Final = 4  #: a real number is written in the text


class Kind(StrEnum):
    """Where a message comes from."""

    RELAY = "relay"  #: a party has sent it to a 700 number
    PLATFORM = "platform"  #: the tenant has sent it on behalf of a party
    NOTICE = "notice"  #: we tell a refused sender so


class MessageRow(msgspec.Struct, kw_only=True):
    """A row of ``message`` as the gateway writes and reads it; times are Unix seconds.

    ``sender`` and ``receiver`` are sealed under the binding (under the message where there is none), ``body``
    under the message.
    """

    code: int
    id: int
    kind: Kind
    tenant_id: int | None = None
    binding_id: int | None = None
    called: int | None = None
    shown: int | None = None
    sender: bytes | None = None
    receiver: bytes | None = None
    body: bytes | None = None
    content: str | None = None
    flags: int = 0
    node: str
    in_link: str | None = None
    in_ref: str | None = None
    long_ref: int | None = None
    long_total: int | None = None
    long_seq: int | None = None
    whole_id: int | None = None
    joined: list[int] | None = None
    state: MessageState
    reason: str | None = None
    rule: str | None = None
    error: str | None = None
    out_link: str | None = None
    out_long: str | None = None
    parts: int | None = None
    attempts: int = 0
    created_at: float
    valid_until: float
    sent_at: float | None = None
    final_at: float | None = None
    due_at: float | None = None
    out_part: int | None = None  #: the part that went out last and was not answered
    out_tries: int = 0  #: how often it went out
    stated_at: float | None = None  #: the date that a peer gave in its receipt; it decides nothing
    #: Under which phones put the parts of a long text together. Counted: texts that leave one after the other
    #: never share it. None: a row of an earlier version.
    out_ref: int | None = None

    @property
    def waits(self) -> bool:
        """Whether it is a part that waits for the rest of its message."""
        part = (self.long_total or 0) > 1 and self.whole_id is None and self.joined is None
        return part and self.state is MessageState.QUEUED

    @property
    def key(self) -> tuple[int, int]:
        return self.code, self.id

    def __repr__(self) -> str:
        return f"<MessageRow {self.code:08d}/{self.id} {self.state}>"


class SentPart(msgspec.Struct, kw_only=True):
    """A part that a peer has taken, and what it said of it since."""

    code: int
    id: int
    part: int
    link: str
    ref: str
    state: MessageState
    error: str | None = None
    sent_at: float


class MessageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One message as its tenant may see it; ``sender``, ``receiver``, ``body`` are sealed: see ``opened``."""

    code: int
    id: int
    kind: Kind
    tenant_id: int | None
    binding_id: int | None
    order_id: str | None
    called: int | None
    shown: int | None
    sender: bytes | None
    receiver: bytes | None
    body: bytes | None  #: kept after the end only where ``messaging.content`` is ``full``
    content: str | None  #: the text with its letters and digits starred
    flags: int
    in_link: str | None
    out_link: str | None
    state: MessageState
    reason: str | None
    rule: str | None
    error: str | None  #: the network's own code
    parts: int | None  #: in which it left
    attempts: int
    created_at: datetime
    valid_until: datetime
    sent_at: datetime | None
    final_at: datetime | None

    @property
    def called_number(self) -> Number700 | None:
        return None if self.called is None else Number700(Code(self.code), self.called)

    @property
    def shown_number(self) -> Number700 | None:
        return None if self.shown is None else Number700(Code(self.code), self.shown)

    @property
    def has_number(self) -> bool:
        """Whether a real number was written in the text."""
        return bool(self.flags & HAS_NUMBER)

    def opened(self, keyring: Keyring) -> tuple[Msisdn | None, Msisdn | None]:
        """(sender, receiver). Raise SealBroken."""
        sender, receiver = (
            None if sealed is None else open_party(keyring, self.code, self.binding_id, self.id, sealed)
            for sealed in (self.sender, self.receiver)
        )
        return sender, receiver

    def __repr__(self) -> str:
        return f"<MessageRecord {self.code:08d}/{self.id} {self.state}>"


def party_aad(code: int, binding_id: int | None, id: int) -> bytes:
    """What a message's sealed numbers are tied to: its binding, or itself where there is none."""
    return binding_aad(code, id if binding_id is None else binding_id)


def open_party(keyring: Keyring, code: int, binding_id: int | None, id: int, sealed: bytes) -> Msisdn:
    """A sealed number of a message. Raise SealBroken."""
    number = keyring.open(sealed, party_aad(code, binding_id, id))
    if not number:
        raise SealBroken
    return Msisdn(number)
