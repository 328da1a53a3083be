"""What requests and answers look like: the types that the documentation is generated from."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from qibai.api.problems import Problem
from qibai.core.binding import MAX_GROUP, Messages, Mode, Scene, Status

MAX_S: Final = 2**31 - 1
ID_PATTERN: Final = "^[bc](?:[0-9]{8}|e[0-9]{7})-[0-9a-hjkmnp-tv-z]{13}$"
MSISDN_PATTERN: Final = r"^(\+86)?1[3-9][0-9]{9}$"
NUMBER_PATTERN: Final = "^700[0-9]{12}$"


def _text(description: str, longest: int, pattern: str | None = None, example: str | None = None) -> Meta:
    extra: dict[str, Any] | None = {"pattern": pattern} if pattern else None
    examples = [example] if example else None
    return Meta(description=description, max_length=longest, extra_json_schema=extra, examples=examples)


Msisdn = Annotated[
    str, _text("A mainland mobile number: E.164 or eleven digits.", 40, MSISDN_PATTERN, "+8613800138000")
]
Shown = Annotated[
    str,
    _text(
        "A real number in E.164; without its middle but for the tenant that gave it.",
        40,
        r"^\+861[3-9][0-9]([0-9]{4}|\*{4})[0-9]{4}$",
        "+8613800138000",
    ),
]
Unreadable = Annotated[
    list[str], Meta(description="Ids of rows that are left out: no key opens their numbers.")
]
Number = Annotated[str, _text("A 700 number, 15 digits.", 15, NUMBER_PATTERN, "700123456781234")]
MiddleNumber = Annotated[
    str,
    _text(
        "A 700 number; in the transition also an old middle number, in E.164.",
        20,
        r"^(700[0-9]{12}|\+86[0-9]{5,18})$",
        "700123456781234",
    ),
]
Members = Annotated[list[Msisdn], Meta(max_length=MAX_GROUP, description="The group G, in order.")]
# Text that PostgreSQL takes: no NUL, no lone surrogates; nothing invisible either.
# Python's `$` alone would let a last newline pass.
Label = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=r"^[\x20-\x7e\u00a0-\u200a\u3001-\u9fff\uff01-\uffee]+$(?!\n)"),
]
Seconds = Annotated[int, Meta(ge=1, le=MAX_S)]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset.")]


class BindRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A binding to be made. `AXB` and `AXYB` take `a`, the group modes take `members`."""

    mode: Annotated[Mode, Meta(description="A and G dial X; B dials X, or Y in the modes that have Y.")]
    a: Msisdn | None = None
    members: Members = []
    b: Msisdn
    order_id: Annotated[Label, Meta(description="Your order.", examples=["order-1"])]
    scene: Annotated[Scene, Meta(description="What the order is for.")] = Scene.OTHER
    ttl: Annotated[Seconds, Meta(description="Lifetime in seconds.")] | None = None
    expires_at: Instant | None = None
    province: (
        Annotated[
            str,
            Meta(max_length=20, description="Take a code of this province (code or name).", examples=["44"]),
        ]
        | None
    ) = None
    x: Number | None = None
    sticky: Annotated[
        bool, Meta(description="The same parties get the same numbers again while these are free.")
    ] = False
    max_call_s: Annotated[Seconds, Meta(description="The longest call, in seconds.")] | None = None
    messages: Annotated[
        Messages, Meta(description="Who may write text messages; `a` and the group are alike.")
    ] = Messages.BOTH
    industrial_id: Label | None = None


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A binding. Real numbers are shown to the tenant that gave them."""

    id: Annotated[str, Meta(examples=["b12345678-0abcdefghjkmn"])]
    mode: Mode
    a: Shown | None
    b: Shown
    members: list[Shown]
    x: Number
    y: Number | None
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


class BindingPage(msgspec.Struct, frozen=True):
    """Bindings, newest first. Give `next_cursor` as `cursor` to go on; null at the end."""

    items: list[Binding]
    next_cursor: str | None
    unreadable: Unreadable


class ChangeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change: a new end (`ttl` from now, or `expires_at`), or a new party (`a`, `b`, or both)."""

    ttl: Seconds | None = None
    expires_at: Instant | None = None
    a: Msisdn | None = None
    b: Msisdn | None = None


class MembersRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Members to add or to take out."""

    members: Annotated[list[Msisdn], Meta(min_length=1, max_length=MAX_GROUP)]


class Released(msgspec.Struct, frozen=True):
    """A binding that is over, and when it ended."""

    id: str
    status: Status
    ended_at: datetime


class BulkBindRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many bindings at once; each succeeds or fails by itself."""

    items: Annotated[list[BindRequest], Meta(min_length=1, max_length=10_000)]


class BulkReleaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many releases at once; each succeeds or fails by itself."""

    ids: Annotated[
        list[Annotated[str, Meta(max_length=64, examples=["b12345678-0abcdefghjkmn"])]],
        Meta(min_length=1, max_length=10_000),
    ]


class BulkBound(msgspec.Struct, frozen=True, kw_only=True):
    """One item's answer: `binding` when `status` is 201, else `problem`."""

    status: int
    binding: Binding | None = None
    problem: Problem | None = None
    replayed: bool = False


class BulkBindAnswer(msgspec.Struct, frozen=True):
    """The answers, in the order of the items."""

    results: list[BulkBound]


class BulkReleased(msgspec.Struct, frozen=True, kw_only=True):
    """One item's answer: `released` when `status` is 200, else `problem`."""

    status: int
    released: Released | None = None
    problem: Problem | None = None


class BulkReleaseAnswer(msgspec.Struct, frozen=True):
    """The answers, in the order of the ids."""

    results: list[BulkReleased]


class TranslationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who would be called, if `caller` dialled `called`? In the transition that may be an old number, too."""

    called: Annotated[str, Meta(max_length=40, examples=["700123456781234"])]
    caller: Annotated[str, Meta(max_length=40, examples=["+8613800138000"])]


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """The routing decision. `connect`: call `callee` and show `shown`; `refuse`: answer `sip_status`."""

    decision: Literal["connect", "refuse"]
    callee: Msisdn | None = None
    shown: MiddleNumber | None = None
    max_call_s: int | None = None
    reason: str | None = None
    rule: Annotated[str, Meta(description="With the reason `policy`: the rule.")] | None = None
    document: Annotated[str, Meta(description="The document that the rule comes from.")] | None = None
    sip_status: int | None = None
    phrase: str | None = None
    q850: int | None = None


class Code(msgspec.Struct, frozen=True):
    """A code of the tenant; its ten thousand numbers begin with it."""

    code: Annotated[str, Meta(examples=["70012345678"])]
    province: str | None
    enabled: bool


class CodeList(msgspec.Struct, frozen=True):
    """The tenant's codes, in order."""

    items: list[Code]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call record. Real numbers are there when it belongs to a binding; times are null until known."""

    id: Annotated[str, Meta(examples=["c12345678-0abcdefghjkmn"])]
    binding_id: str | None
    called: MiddleNumber | None
    shown: Number | None
    caller: Shown | None
    callee: Shown | None
    node: str
    started_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    ended_by: Annotated[str, Meta(description="`caller`, `callee` or `platform`.")] | None
    duration_ms: Annotated[int, Meta(description="From answer to end; 0 when unanswered.")] | None
    sip_status: int | None
    q850: int | None
    reason: Annotated[str, Meta(description="`answered`, `busy`, or why nobody was connected.")] | None
    document: Annotated[str, Meta(description="Where the reason is a rule: the document it is from.")] | None
    end_seen: Annotated[bool, Meta(description="False: closed without its end having been seen.")] | None
    tenant: Annotated[str, Meta(description="Whose, where calls of all are listed.")] | None
    caller_peer: Annotated[str, Meta(description="The peer that sent it, or a stranger's address.")] | None
    callee_peer: Annotated[str, Meta(description="The peer that had it last.")] | None
    gave_up: Annotated[list[str], Meta(description="Peers that failed it before.")]
    refused: Annotated[bool, Meta(description="The platform connected it to nobody; `reason` says why.")]


class CallPage(msgspec.Struct, frozen=True):
    """Call records, newest first. Give `next_cursor` as `cursor` to go on; null at the end."""

    items: list[Call]
    next_cursor: str | None
    unreadable: Unreadable
