"""What the API answers, as types."""

from datetime import datetime
from typing import Any, Literal

import msgspec

Mode = Literal["AXB", "AXYB", "GXB", "GXYB"]
Scene = Literal["parcel", "food", "ride", "e-commerce", "other"]
Messages = Literal["both", "a_to_b", "b_to_a", "none"]  #: who may write text messages
Status = Literal["active", "released", "expired"]
MessageState = Literal["queued", "sent", "delivered", "expired", "rejected", "unknown"]


class BindRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A binding to be made; ``a`` for AXB and AXYB, ``members`` for GXB and GXYB."""

    mode: Mode
    b: str
    order_id: str
    a: str | None = None
    members: list[str] = []
    scene: Scene = "other"
    ttl: int | None = None  #: seconds
    expires_at: datetime | None = None
    province: str | None = None
    x: str | None = None  #: the number wanted
    sticky: bool = False
    max_call_s: int | None = None
    messages: Messages = "both"
    industrial_id: str | None = None


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A binding; ``repr`` shows no real number."""

    id: str
    mode: Mode
    a: str | None
    b: str
    members: list[str]
    x: str
    y: str | None
    status: Status
    order_id: str
    scene: Scene
    province: str | None
    industrial_id: str | None
    max_call_s: int
    messages: Messages
    created_at: datetime
    expires_at: datetime
    released_at: datetime | None

    def __repr__(self) -> str:
        return f"<Binding {self.id} {self.mode} {self.status}>"


class BindingPage(msgspec.Struct, frozen=True):
    items: list[Binding]
    next_cursor: str | None
    unreadable: list[str] = []


class Released(msgspec.Struct, frozen=True):
    """When a binding ended, and how."""

    id: str
    status: Status
    ended_at: datetime


class ProblemField(msgspec.Struct, frozen=True):
    field: str
    code: str
    message: str


class Problem(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457)."""

    status: int
    code: str = "error"
    detail: str = ""
    title: str = ""
    type: str = ""
    errors: list[ProblemField] = []
    rule: str | None = None  #: with ``policy_refused``
    document: str | None = None  #: that the rule comes from


class BulkBound(msgspec.Struct, frozen=True, kw_only=True):
    """One item's answer: ``binding`` or ``problem``."""

    status: int
    binding: Binding | None = None
    problem: Problem | None = None
    replayed: bool = False


class BulkReleased(msgspec.Struct, frozen=True, kw_only=True):
    """One id's answer: ``released`` or ``problem``."""

    status: int
    released: Released | None = None
    problem: Problem | None = None


class BulkBindAnswer(msgspec.Struct, frozen=True):
    results: list[BulkBound]


class BulkReleaseAnswer(msgspec.Struct, frozen=True):
    results: list[BulkReleased]


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """The routing decision: ``connect`` to ``callee`` showing ``shown``, or ``refuse``."""

    decision: Literal["connect", "refuse"]
    callee: str | None = None
    shown: str | None = None
    max_call_s: int | None = None
    reason: str | None = None
    rule: str | None = None  #: with the reason ``policy``
    document: str | None = None  #: that the rule comes from
    sip_status: int | None = None
    phrase: str | None = None
    q850: int | None = None

    def __repr__(self) -> str:
        return f"<Translation {self.decision} {self.reason or self.shown}>"


class Code(msgspec.Struct, frozen=True):
    code: str
    province: str | None
    enabled: bool


class CodeList(msgspec.Struct, frozen=True):
    items: list[Code]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call record."""

    id: str
    binding_id: str | None
    called: str | None
    shown: str | None
    caller: str | None
    callee: str | None
    node: str
    started_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    duration_ms: int | None
    sip_status: int | None
    q850: int | None
    reason: str | None
    document: str | None = None  #: where the reason is a rule, what it comes from
    end_seen: bool | None
    tenant: str | None = None  #: whose, where calls of all tenants are listed
    caller_peer: str | None = None  #: the peer that sent it
    callee_peer: str | None = None  #: the peer that had it last
    gave_up: list[str] = []  #: peers that failed it before
    refused: bool = False  #: the platform connected it to nobody

    def __repr__(self) -> str:
        return f"<Call {self.id} {self.reason}>"


class CallPage(msgspec.Struct, frozen=True):
    items: list[Call]
    next_cursor: str | None
    unreadable: list[str] = []


class SendRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A text on behalf of the party ``sender`` for the other one; ``repr`` shows neither."""

    binding_id: str
    order_id: str
    sender: str
    text: str
    valid_s: int | None = None

    def __repr__(self) -> str:
        return f"<SendRequest {self.binding_id}>"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message record; ``repr`` shows no real number."""

    id: str
    kind: str
    binding_id: str | None
    order_id: str | None
    called: str | None
    shown: str | None
    sender: str | None
    receiver: str | None
    state: MessageState
    reason: str | None
    rule: str | None
    error: str | None
    content: str | None
    has_number: bool
    parts: int | None
    attempts: int
    created_at: datetime
    valid_until: datetime
    sent_at: datetime | None
    final_at: datetime | None

    def __repr__(self) -> str:
        return f"<Message {self.id} {self.state}>"


class MessagePage(msgspec.Struct, frozen=True):
    items: list[Message]
    next_cursor: str | None
    unreadable: list[str] = []


def to_json(value: Any) -> bytes:
    """The body of a request."""
    return msgspec.json.encode(value)
