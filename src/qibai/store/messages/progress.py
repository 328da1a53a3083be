"""Messages under way: what the gateway reads of them, and what became of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.rows import kwargs_row

from qibai.core.messages import MessageState
from qibai.store.bindings.arrays import Bools, Int2s, Int4s, Int8s, PgArray, Texts
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.messages.accept import instants
from qibai.store.messages.model import Kind, MessageRow, SentPart
from qibai.store.statements import load

_SQL: Final = load("messages")

MessageKey = tuple[int, int]  #: (code, id)


class Change(NamedTuple):
    """A row as it is to be from now on; ``keep``: the text stays although the message is final.

    ``sent``: parts that are new or changed; ``clear``: forget all parts that were stored.
    """

    row: MessageRow
    sent: Sequence[SentPart] = ()
    keep: bool = False
    clear: bool = False


async def update(conn: Connection, node: str, changes: Sequence[Change]) -> None:
    """Store changes, each row once; a row that is final already stays as it is. May be done twice.

    A row that another node has by now stays as it is, too.

    Raise StoreUnavailable.
    """
    if not changes:
        return
    ordered = sorted(changes, key=lambda change: change.row.key)  # the same order in every writer
    with own_errors():
        await conn.execute(_SQL["update"], {"node": node} | _columns(ordered), prepare=True)


async def disown(conn: Connection, gone: Sequence[tuple[int, int, Sequence[int]]]) -> None:
    """Remove messages, (code, id, other parts joined), as if they had never come. Raise StoreUnavailable."""
    parts = [(code, other, id) for code, id, joined in gone for other in joined]
    params = {
        "code": Int4s.of([code for code, _, _ in gone]),
        "id": Int8s.of([id for _, id, _ in gone]),
        "f_code": Int4s.of([code for code, _, _ in parts]),
        "f_id": Int8s.of([id for _, id, _ in parts]),
        "f_whole": Int8s.of([whole for _, _, whole in parts]),
    }
    with own_errors():
        await conn.execute(_SQL["disown"], params)


async def due(conn: Connection, node: str, until: datetime, limit: int) -> list[MessageRow]:
    """The node's messages for which something is to be done at ``until``, the most urgent first."""
    return await _rows(conn, "due", {"node": node, "until": until, "limit": limit})


async def adopt(conn: Connection, node: str, until: datetime, limit: int) -> list[MessageRow]:
    """Messages that were nobody's until now, and are the node's from now on."""
    return await _rows(conn, "adopt", {"node": node, "until": until, "limit": limit})


async def waiting_parts(conn: Connection, node: str) -> list[MessageRow]:
    """Parts of long messages that wait for the others."""
    return await _rows(conn, "waiting_parts", {"node": node})


async def load_rows(conn: Connection, keys: Iterable[MessageKey]) -> list[MessageRow]:
    """The rows of these keys; those that do not exist are left out."""
    wanted = sorted(keys)
    params = {"code": Int4s.of([code for code, _ in wanted]), "id": Int8s.of([id for _, id in wanted])}
    return await _rows(conn, "load", params) if wanted else []


async def parts_of(conn: Connection, keys: Iterable[MessageKey]) -> list[SentPart]:
    """The parts of these messages that peers have taken."""
    wanted = sorted(keys)
    params = {"code": Int4s.of([code for code, _ in wanted]), "id": Int8s.of([id for _, id in wanted])}
    return await _sent(conn, "parts_of", params) if wanted else []


async def find_sent(conn: Connection, refs: Sequence[tuple[str, str]]) -> list[SentPart]:
    """The parts that peers know by these (link, ref); those of final messages are forgotten."""
    params = {
        "link": Texts.of_strings([link for link, _ in refs]),
        "ref": Texts.of_strings([ref for _, ref in refs]),
    }
    return await _sent(conn, "find_sent", params) if refs else []


async def _rows(conn: Connection, name: str, params: dict[str, Any]) -> list[MessageRow]:
    with own_errors():
        async with conn.cursor(row_factory=kwargs_row(_row), binary=True) as cursor:
            await cursor.execute(_SQL[name], params)
            return await cursor.fetchall()


async def _sent(conn: Connection, name: str, params: dict[str, Any]) -> list[SentPart]:
    with own_errors():
        async with conn.cursor(row_factory=kwargs_row(_part), binary=True) as cursor:
            await cursor.execute(_SQL[name], params)
            return await cursor.fetchall()


def _row(**columns: Any) -> MessageRow:
    for name in ("created_at", "valid_until", "sent_at", "final_at", "due_at", "stated_at"):
        if columns[name] is not None:
            columns[name] = columns[name].timestamp()
    columns["kind"] = Kind(columns["kind"])
    columns["state"] = MessageState(columns["state"])
    return MessageRow(**columns)


def _part(**columns: Any) -> SentPart:
    columns["sent_at"] = columns["sent_at"].timestamp()
    columns["state"] = MessageState(columns["state"])
    return SentPart(**columns)


def _columns(changes: Sequence[Change]) -> dict[str, PgArray]:
    rows = [change.row for change in changes]
    sent = [part for change in changes if not change.clear for part in change.sent]
    return {
        "code": Int4s.of([row.code for row in rows]),
        "id": Int8s.of([row.id for row in rows]),
        "state": Texts.of_strings([row.state.value for row in rows]),
        "reason": Texts.of_strings([row.reason for row in rows]),
        "error": Texts.of_strings([row.error for row in rows]),
        "link": Texts.of_strings([row.out_link for row in rows]),
        "long": Texts.of_strings([row.out_long for row in rows]),
        "parts": Int2s.of_optional([row.parts for row in rows]),
        "attempts": Int2s.of([min(row.attempts, 32_767) for row in rows]),
        "out_part": Int2s.of_optional([row.out_part for row in rows]),
        "out_tries": Int2s.of([row.out_tries for row in rows]),
        "sent_at": instants([row.sent_at for row in rows]),
        "final_at": instants([row.final_at for row in rows]),
        "due_at": instants([row.due_at for row in rows]),
        "stated_at": instants([row.stated_at for row in rows]),
        "keep": Bools.of_blobs([bytes([change.keep]) for change in changes]),
        "clear": Bools.of_blobs([bytes([change.clear]) for change in changes]),
        "s_code": Int4s.of([part.code for part in sent]),
        "s_id": Int8s.of([part.id for part in sent]),
        "s_part": Int2s.of([part.part for part in sent]),
        "s_link": Texts.of_strings([part.link for part in sent]),
        "s_ref": Texts.of_strings([part.ref for part in sent]),
        "s_state": Texts.of_strings([part.state.value for part in sent]),
        "s_error": Texts.of_strings([part.error for part in sent]),
        "s_at": instants([part.sent_at for part in sent]),
    }
