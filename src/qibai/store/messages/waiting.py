"""Parts of long messages that wait for the others, whichever node took them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.messages.model import MessageRow
from qibai.store.statements import load

_SQL: Final = load("messages")


async def places(conn: Connection, row: MessageRow) -> dict[int, int]:
    """The places, by id, of parts that may belong to one message with ``row``. Raise StoreUnavailable."""
    params = {
        "code": row.code,
        "binding_id": row.binding_id,
        "ref": row.long_ref,
        "total": row.long_total,
    }
    with own_errors():
        cursor = await conn.execute(_SQL["places"], params)
        return dict(await cursor.fetchall())


async def join_parts(conn: Connection, whole: MessageRow, others: Sequence[MessageRow]) -> bool:
    """Make one message of parts, all at once, or of none: False when one of them waits no longer.

    ``whole`` is as it is to be; when it is final, the others end with it. Raise StoreUnavailable: it was
    done, or not.
    """
    params = {
        "code": whole.code,
        "whole": whole.id,
        "ids": [whole.id, *(other.id for other in others)],
        "joined": [other.id for other in others],
        "body": None if whole.state.is_final else whole.body,
        "content": whole.content,
        "flags": whole.flags,
        "node": whole.node,
        "state": whole.state.value,
        "reason": whole.reason,
        "final_at": _instant(whole.final_at),
        "due_at": _instant(whole.due_at),
    }
    with own_errors():
        cursor = await conn.execute(_SQL["join_parts"], params)
        return await cursor.fetchone() is not None


async def end_waiting(conn: Connection, row: MessageRow) -> bool:
    """Its rest never came; False: it waits no longer. Raise StoreUnavailable."""
    with own_errors():
        cursor = await conn.execute(_SQL["end_waiting"], {"code": row.code, "id": row.id})
        return await cursor.fetchone() is not None


async def count_waiting(conn: Connection, node: str) -> int:
    """How many parts of a node wait. Raise StoreUnavailable."""
    with own_errors():
        row = await (await conn.execute(_SQL["count_waiting"], {"node": node})).fetchone()
    return int(row[0]) if row else 0


def _instant(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
