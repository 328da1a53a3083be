"""Messages acknowledged to their senders: one statement, one commit for many."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from qibai.core.messages import MessageState
from qibai.store.bindings.arrays import Blobs, Instants, Int2s, Int4s, Int8s, PgArray, Texts
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.messages.model import MessageRow
from qibai.store.pgtime import to_pg
from qibai.store.statements import load

_SQL: Final = load("messages")


class Known(NamedTuple):
    """A row is not stored, as its peer gave us the same before: what that became."""

    id: int
    state: MessageState
    reason: str | None
    rule: str | None


async def accept(conn: Connection, rows: Sequence[MessageRow]) -> list[Known | None]:
    """Store rows, each with a (link, ref) of its own among them; None: stored, at each row's place.

    The other parts in ``joined`` of a stored row are marked as its. Each stored row gets its ``out_ref``.
    ``conn`` is in autocommit mode: what is returned is committed; or it is in a transaction of the caller's.
    Raise StoreUnavailable.
    """
    if not rows:
        return []
    with own_errors():
        cursor = await conn.execute(_SQL["accept"], _columns(rows), prepare=True, binary=True)
        stored = dict(await cursor.fetchall())
        for row in rows:
            row.out_ref = stored.get(row.id)
        if len(stored) == len(rows):
            return [None] * len(rows)
        wanted = [row for row in rows if row.id not in stored]
        known = {}
        params = {
            "code": Int4s.of([row.code for row in wanted]),
            "link": Texts.of_strings([row.in_link for row in wanted]),
            "ref": Texts.of_strings([row.in_ref for row in wanted]),
        }
        cursor = await conn.execute(_SQL["known"], params, binary=True)
        for code, link, ref, id, state, reason, rule in await cursor.fetchall():
            known[code, link, ref] = Known(id, MessageState(state), reason, rule)
    return [None if row.id in stored else known[row.code, row.in_link, row.in_ref] for row in rows]


def _columns(rows: Sequence[MessageRow]) -> dict[str, PgArray]:
    followers = [(row.code, other, row.id) for row in rows for other in row.joined or ()]
    followers.sort()
    return {
        "code": Int4s.of([row.code for row in rows]),
        "id": Int8s.of([row.id for row in rows]),
        "kind": Texts.of_strings([row.kind.value for row in rows]),
        "tenant_id": _numbers(Int4s, [row.tenant_id for row in rows], 4),
        "binding_id": _numbers(Int8s, [row.binding_id for row in rows], 8),
        "called": Int2s.of_optional([row.called for row in rows]),
        "shown": Int2s.of_optional([row.shown for row in rows]),
        "sender": Blobs.of_blobs([row.sender for row in rows]),
        "receiver": Blobs.of_blobs([row.receiver for row in rows]),
        "body": Blobs.of_blobs([row.body for row in rows]),
        "content": Texts.of_strings([row.content for row in rows]),
        "flags": Int2s.of([row.flags for row in rows]),
        "node": Texts.of_strings([row.node for row in rows]),
        "in_link": Texts.of_strings([row.in_link for row in rows]),
        "in_ref": Texts.of_strings([row.in_ref for row in rows]),
        "long_ref": _numbers(Int4s, [row.long_ref for row in rows], 4),
        "long_total": Int2s.of_optional([row.long_total for row in rows]),
        "long_seq": Int2s.of_optional([row.long_seq for row in rows]),
        "whole_id": _numbers(Int8s, [row.whole_id for row in rows], 8),
        "joined": Texts.of_strings([_list(row.joined) for row in rows]),
        "state": Texts.of_strings([row.state.value for row in rows]),
        "reason": Texts.of_strings([row.reason for row in rows]),
        "rule": Texts.of_strings([row.rule for row in rows]),
        "created_at": instants([row.created_at for row in rows]),
        "valid_until": instants([row.valid_until for row in rows]),
        "final_at": instants([row.final_at for row in rows]),
        "due_at": instants([row.due_at for row in rows]),
        "f_code": Int4s.of([code for code, _, _ in followers]),
        "f_id": Int8s.of([id for _, id, _ in followers]),
        "f_whole": Int8s.of([whole for _, _, whole in followers]),
    }


def instants(times: Sequence[float | None]) -> PgArray:
    """timestamptz[] of Unix seconds, some of them NULL."""
    return _numbers(Instants, [None if at is None else to_pg(at) for at in times], 8)


def _list(ids: Sequence[int] | None) -> str | None:
    """A bigint[] as text: arrays of arrays of several lengths do not exist in binary."""
    return None if ids is None else "{" + ",".join(map(str, ids)) + "}"


def _numbers(kind: type[PgArray], values: Sequence[int | None], size: int) -> PgArray:
    """An array of integers of ``size`` bytes, some of them NULL."""
    return kind.of_blobs(
        [None if value is None else value.to_bytes(size, "big", signed=True) for value in values]
    )
