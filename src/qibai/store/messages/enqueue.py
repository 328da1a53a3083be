"""A message that the tenant sends on behalf of a party: durable, then the gateway's."""

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from qibai.core.errors import IdempotencyMismatch
from qibai.core.ids import new_id
from qibai.core.messages import MessageState
from qibai.core.numbering import Number700
from qibai.core.routing import RouteRecord
from qibai.store.bindings.model import Idempotency
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.messages.accept import accept
from qibai.store.messages.body import seal_body, starred
from qibai.store.messages.model import HAS_NUMBER, Kind, MessageRecord, MessageRow
from qibai.store.messages.query import get_message
from qibai.store.statements import load

_SQL: Final = load("messages")


class PlatformMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A text for the other party of ``record``, whose caller is the party on whose behalf it is sent.

    ``record`` comes from ``find_pairs`` and was allowed by ``decide``; ``text`` is what is to be sent, after
    the tenant's content policy. ``repr`` shows no text.
    """

    record: RouteRecord
    text: str
    valid_until: datetime  #: with UTC offset
    has_number: bool = False  #: a real number is written in it
    content: str | None = None  #: what the record shows of it; None: the text starred

    def __repr__(self) -> str:
        return f"<PlatformMessage of {self.record.binding_id}>"


class Enqueued(NamedTuple):
    """``replayed``: an earlier request with the same idempotency key had put it there."""

    record: MessageRecord
    replayed: bool = False


async def enqueue(
    conn: Connection,
    keyring: Keyring,
    message: PlatformMessage,
    *,
    now: datetime,
    idempotency: Idempotency | None = None,
    node: str = "",
) -> Enqueued:
    """Make the message durable and wake a gateway; what is returned is committed.

    ``conn`` is in autocommit mode, no transaction open. ``node``: whose gateway is to send it; empty: any.
    Raise IdempotencyMismatch, MessageNotFound (the earlier message's record is gone) or StoreUnavailable.
    """
    record = message.record
    code, id = record.called.code.value, new_id()
    earlier: tuple[int, int] | None = None
    with own_errors():
        async with conn.transaction():
            if idempotency is not None:
                earlier = await _claim(conn, record.tenant_id, idempotency, code, id)
            if earlier is None:
                await accept(conn, [_row(keyring, message, id, now, node)])
                await conn.execute(_SQL["notify"], {"node": node})
    found = earlier or (code, id)
    return Enqueued(await get_message(conn, record.tenant_id, *found), earlier is not None)


async def _claim(
    conn: Connection, tenant_id: int, idempotency: Idempotency, code: int, id: int
) -> tuple[int, int] | None:
    """(code, id) of the message that the key was used for, or None when it is ours now."""
    params = {
        "tenant_id": tenant_id,
        "key": idempotency.key,
        "request": idempotency.request,
        "code": code,
        "id": id,
    }
    row = await (await conn.execute(_SQL["claim_key"], params)).fetchone()
    if row is not None:
        return None
    row = await (await conn.execute(_SQL["read_key"], params)).fetchone()
    if row is None or row[0] != idempotency.request:
        raise IdempotencyMismatch
    return row[1], row[2]


def _row(keyring: Keyring, message: PlatformMessage, id: int, now: datetime, node: str) -> MessageRow:
    record: RouteRecord = message.record
    called, shown = record.called, record.shown
    if not (isinstance(called, Number700) and isinstance(shown, Number700)):
        raise ValueError("text messages go by 700 numbers alone")
    code = called.code.value
    return MessageRow(
        code=code,
        id=id,
        kind=Kind.PLATFORM,
        tenant_id=record.tenant_id,
        binding_id=record.binding_id,
        called=called.serial,
        shown=shown.serial,
        sender=record.caller_sealed,
        receiver=record.callee_sealed,
        body=seal_body(keyring, code, id, message.text),
        content=starred(message.text) if message.content is None else message.content,
        flags=HAS_NUMBER * message.has_number,
        node=node,
        state=MessageState.QUEUED,
        created_at=now.timestamp(),
        valid_until=message.valid_until.timestamp(),
        due_at=now.timestamp(),
    )
