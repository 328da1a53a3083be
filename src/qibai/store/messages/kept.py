"""Receipts that were acknowledged before anybody knew whose they are."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from qibai.core.messages import MessageState
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.statements import load

_SQL: Final = load("messages")


class KeptReceipt(NamedTuple):
    """A receipt, and the part of a message that it may be about."""

    receipt_id: int
    state: MessageState
    error: str
    stated_at: datetime | None
    pair: bytes | None
    place: int  #: of the matching id among those that may be meant, from 1
    shared: bool  #: another message, of whichever node, has that id as well
    code: int
    id: int
    part: int


async def keep_receipt(
    conn: Connection,
    link: str,
    refs: Sequence[str],
    state: MessageState,
    *,
    error: str,
    stated_at: datetime | None,
    pair: bytes | None,
) -> None:
    """Keep a receipt for whoever has its message; the same again changes nothing. Raise StoreUnavailable."""
    params = {
        "link": link,
        "refs": list(refs),
        "state": state.value,
        "error": error,
        "stated_at": stated_at,
        "pair": pair,
    }
    with own_errors():
        await conn.execute(_SQL["keep_receipt"], params)


async def kept_receipts(conn: Connection, node: str, since_s: float, limit: int) -> list[KeptReceipt]:
    """Those of the last ``since_s`` seconds that fit messages of the node. Raise StoreUnavailable."""
    with own_errors():
        params = {"node": node, "since_s": since_s, "limit": limit}
        rows = await (await conn.execute(_SQL["kept_receipts"], params)).fetchall()
    return [KeptReceipt(row[0], MessageState(row[1]), *row[2:]) for row in rows]


async def forget_receipts(conn: Connection, ids: Sequence[int]) -> None:
    """They are noted with their messages. Raise StoreUnavailable."""
    with own_errors():
        await conn.execute(_SQL["forget_receipts"], {"ids": list(ids)})


async def old_receipts(conn: Connection, age_s: float) -> int:
    """Forget those that nobody wanted for so long; how many. Raise StoreUnavailable."""
    with own_errors():
        return (await conn.execute(_SQL["old_receipts"], {"age_s": age_s})).rowcount
