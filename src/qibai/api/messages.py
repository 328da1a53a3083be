"""``/v1/messages``: a tenant's message records, and sending on behalf of a party."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, get, post
from litestar.params import Parameter
from msgspec import Meta

from qibai.api import convert, models
from qibai.api.decode import decode, idempotency_key, instant, no_nulls
from qibai.api.gate import asked
from qibai.api.legible import legible
from qibai.api.request import (
    Asking,
    IdempotencyKey,
    Limit,
    OfBinding,
    Since,
    Until,
    Whose,
    reached,
    seen,
    services_of,
)
from qibai.core.errors import BadRequest, MessageNotFound
from qibai.core.ids import format_id, parse_id
from qibai.core.messages import MessageState
from qibai.core.numbering import Msisdn
from qibai.core.roles import Action
from qibai.service import messages
from qibai.service.messages import MessageRecord
from qibai.service.reach import Reach
from qibai.store.keys import Keyring

MAX_TEXT: Final = 1_000
ID_PATTERN: Final = "^m[0-9]{8}-[0-9a-hjkmnp-tv-z]{13}$"
MessageId = Annotated[str, Parameter(description="A message's id.", max_length=64, pattern=ID_PATTERN)]


class SendRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text for the other party of a binding, who sees the 700 number that it would see in a call."""

    binding_id: Annotated[str, Meta(max_length=64, examples=["b12345678-0abcdefghjkmn"])]
    order_id: Annotated[models.Label, Meta(description="The binding's order.", examples=["order-1"])]
    sender: models.Msisdn
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, examples=["Your parcel is at the door."])]
    valid_s: (
        Annotated[
            int, Meta(ge=60, le=models.MAX_S, description="For how many seconds delivery is tried at most.")
        ]
        | None
    ) = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message record; it changes until its `state` is final."""

    id: Annotated[str, Meta(examples=["m12345678-0abcdefghjkmn"])]
    kind: Annotated[messages.Kind, Meta(description="`relay`: a party wrote it; `platform`: you sent it.")]
    binding_id: str | None
    order_id: str | None
    called: Annotated[models.Number, Meta(description="Written to.")] | None
    shown: Annotated[models.Number, Meta(description="What the receiver sees.")] | None
    sender: models.Shown | None
    receiver: models.Shown | None
    state: Annotated[MessageState, Meta(description="Final: `delivered`, `expired`, `rejected`, `unknown`.")]
    reason: Annotated[str, Meta(description="Why it was not passed on or delivered.")] | None
    rule: Annotated[str, Meta(description="With the reason `policy`: the rule.")] | None
    error: Annotated[str, Meta(description="The network's own code.")] | None
    content: Annotated[str, Meta(description="The text, starred.")] | None
    has_number: Annotated[bool, Meta(description="A real number is written in it.")]
    parts: Annotated[int, Meta(description="Short messages that it left in.")] | None
    attempts: int
    created_at: datetime
    valid_until: datetime
    sent_at: Annotated[datetime, Meta(description="When the network took it.")] | None
    final_at: datetime | None


class MessagePage(msgspec.Struct, frozen=True):
    """Message records, newest first. Give `next_cursor` as `cursor` to go on; null at the end."""

    items: list[Message]
    next_cursor: str | None
    unreadable: models.Unreadable


_SEND: Final = msgspec.json.Decoder(SendRequest)


@post(
    "/v1/messages",
    operation_id="send_message",
    summary="Send on behalf of a party",
    tags=["messages"],
    status_code=202,
    opt={"action": Action.MESSAGE_SEND, "body": SendRequest},
)
async def send_message(request: Asking, key: IdempotencyKey = None) -> Response[Message]:
    """The answer is sent once the message is durable; its record tells what becomes of it."""
    who, services = asked(request.scope), services_of(request)
    said = decode(_SEND, who.body)
    tenant_id = who.principal.tenant_id
    record, replayed = await services.outbox.send(
        tenant_id,
        binding=convert.binding_id(said.binding_id),
        order_id=said.order_id,
        sender=Msisdn.parse(said.sender, field="sender"),
        text=said.text,
        valid_s=said.valid_s,
        once=convert.once(idempotency_key(who.headers), who.body),
    )
    answer = _message(record, services.keyring, Reach(tenant_id, whole=True))
    _seen(request, answer)
    headers = {"Location": f"/v1/messages/{answer.id}"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(answer, status_code=202, headers=headers)


@get(
    "/v1/messages",
    operation_id="list_messages",
    summary="List messages",
    tags=["messages"],
    opt={"action": Action.MESSAGE_READ},
)
async def list_messages(  # noqa: PLR0917  # Litestar calls it by name
    request: Asking,
    binding: OfBinding = None,
    order_id: Annotated[str | None, Parameter(description="Only of this order.", max_length=64)] = None,
    in_state: Annotated[  # Litestar keeps the name `state` for itself
        MessageState | None, Parameter(query="state", description="Only these.")
    ] = None,
    since: Since = None,
    until: Until = None,
    cursor: Annotated[
        str | None,
        Parameter(description="`next_cursor` of the page before.", max_length=64, pattern=ID_PATTERN),
    ] = None,
    limit: Limit = 100,
    tenant: Whose = None,
) -> MessagePage:
    """The messages of a tenant's bindings, newest first; real numbers masked but for the tenant itself."""
    no_nulls(request.scope["query_string"], "binding", "state", "cursor", "tenant")
    services = services_of(request)
    before = None if cursor is None else parse_id("m", cursor)
    if cursor is not None and before is None:
        raise BadRequest("invalid cursor: use the `next` value of an earlier page", field="cursor")
    of_binding = None if binding is None else parse_id("b", binding)
    if binding is not None and of_binding is None:
        raise BadRequest("this is not the id of a binding", field="binding")
    whose = await reached(request, tenant)
    async with services.connections.get() as conn:
        rows = await messages.list_messages(
            conn,
            whose.tenant_id,
            before=None if before is None else before[1],
            order_id=order_id,
            binding=of_binding,
            state=in_state,
            since=None if since is None else instant(since, "since"),
            until=None if until is None else instant(until, "until"),
            limit=limit + 1,
        )
    page, unreadable = legible(rows[:limit], lambda row: _message(row, services.keyring, whose), _id)
    _seen(request, *page)
    return MessagePage(page, _id(rows[limit - 1]) if len(rows) > limit else None, unreadable)


@get(
    "/v1/messages/{id:str}",
    operation_id="get_message",
    summary="Get a message",
    tags=["messages"],
    opt={"action": Action.MESSAGE_READ},
)
async def get_message(request: Asking, id: MessageId, tenant: Whose = None) -> Message:
    """One message record."""
    no_nulls(request.scope["query_string"], "tenant")
    services = services_of(request)
    found = parse_id("m", id)
    if found is None:
        raise MessageNotFound
    whose = await reached(request, tenant)
    async with services.connections.get() as conn:
        row = await messages.get_message(conn, whose.tenant_id, *found)
    message = _message(row, services.keyring, whose)
    _seen(request, message)
    return message


HANDLERS: Final = (send_message, list_messages, get_message)


def _seen(request: Asking, *shown: Message) -> None:
    seen(request, *(number for one in shown for number in (one.sender, one.receiver)))


def _id(row: MessageRecord) -> str:
    return format_id("m", max(row.code, 0), row.id)


def _message(row: MessageRecord, keyring: Keyring, whose: Reach) -> Message:
    parties = messages.parties(row, keyring, whose)
    return Message(
        id=_id(row),
        kind=row.kind,
        binding_id=None if row.binding_id is None else format_id("b", row.code, row.binding_id),
        order_id=row.order_id,
        called=None if row.called_number is None else str(row.called_number),
        shown=None if row.shown_number is None else str(row.shown_number),
        sender=parties.sender,
        receiver=parties.receiver,
        state=row.state,
        reason=row.reason,
        rule=row.rule,
        error=row.error,
        content=row.content,
        has_number=row.has_number,
        parts=row.parts,
        attempts=row.attempts,
        created_at=row.created_at,
        valid_until=row.valid_until,
        sent_at=row.sent_at,
        final_at=row.final_at,
    )
