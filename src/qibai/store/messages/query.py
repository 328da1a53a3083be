"""Records of messages, for their tenant."""

from datetime import datetime
from typing import Any, Final

from psycopg.rows import kwargs_row

from qibai.core.errors import MessageNotFound
from qibai.core.messages import MessageState
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.messages.model import Kind, MessageRecord
from qibai.store.statements import load

_SQL: Final = load("messages")


async def list_messages(
    conn: Connection,
    tenant_id: int,
    *,
    before: int | None = None,
    after: int | None = None,
    order_id: str | None = None,
    binding: tuple[int, int] | None = None,
    state: MessageState | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
) -> list[MessageRecord]:
    """A tenant's messages, the latest first: at most ``limit`` with ids below ``before`` and above ``after``.

    ``binding`` is (code, id). A long message is one record. Raise StoreUnavailable.
    """
    params = {
        "tenant_id": tenant_id,
        "before": before,
        "after": after,
        "order_id": order_id,
        "code": binding[0] if binding else None,
        "binding_id": binding[1] if binding else None,
        "state": state.value if state else None,
        "since": since,
        "until": until,
        "limit": limit,
    }
    statement = "list_messages" if order_id is None else "list_messages_of_order"
    return await _all(conn, statement, params)


async def get_message(conn: Connection, tenant_id: int, code: int, id: int) -> MessageRecord:
    """Raise MessageNotFound, also when the message is another tenant's, or StoreUnavailable."""
    found = await _all(conn, "get_message", {"tenant_id": tenant_id, "code": code, "id": id})
    if not found:
        raise MessageNotFound
    return found[0]


async def order_of(conn: Connection, code: int, binding_id: int) -> str:
    """The order of a binding, "" when it is gone. Raise StoreUnavailable."""
    with own_errors():
        cursor = await conn.execute(_SQL["order_of"], {"code": code, "id": binding_id})
        row = await cursor.fetchone()
    return str(row[0]) if row else ""


async def _all(conn: Connection, name: str, params: dict[str, Any]) -> list[MessageRecord]:
    with own_errors():
        async with conn.cursor(row_factory=kwargs_row(_record)) as cursor:
            await cursor.execute(_SQL[name], params)
            return await cursor.fetchall()


def _record(**columns: Any) -> MessageRecord:
    columns["kind"] = Kind(columns["kind"])
    columns["state"] = MessageState(columns["state"])
    return MessageRecord(**columns)
