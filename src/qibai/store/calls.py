"""Call records in PostgreSQL: written by the recorder, read by the API."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
import psycopg
from psycopg.rows import class_row

from qibai.core.calls import MICROSECONDS, CallKey, CallRow
from qibai.core.errors import CallEnded, CallNotFound
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.store.bindings.arrays import Blobs, Bools, Instants, Int2s, Int4s, Int8s, PgArray, Texts
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring, binding_aad
from qibai.store.pgtime import EPOCH_S
from qibai.store.statements import load

CHANNEL: Final = "qibai_call_order"
_FITS: Final = re.compile(rb"^--.*\n", re.MULTILINE)  #: comments
_PARTS: Final = load("calls")
#: Statements with what they share put in.
_SQL: Final = {
    name: text.replace(b"{columns}", _PARTS["columns"]).replace(b"{fits}", _FITS.sub(b"", _PARTS["fits"]))
    for name, text in _PARTS.items()
    if name not in ("columns", "fits")
}
_PG_EPOCH_US: Final = EPOCH_S * MICROSECONDS

_T = TypeVar("_T")


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call as stored; ``caller`` and ``callee`` are sealed (see ``opened``)."""

    code: int
    id: int
    tenant_id: int | None
    binding_id: int | None
    called: int | None
    shown: int | None
    caller: bytes | None
    callee: bytes | None
    node: str
    started_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    sip_status: int | None
    q850: int | None
    reason: str | None
    end_seen: bool | None
    dialled: bytes | None = None  #: sealed: the old number outside 700 that was dialled
    caller_peer: str | None = None  #: that sent it; of a sender that is no peer its address
    callee_peer: str | None = None  #: that had it last
    gave_up: str | None = None  #: peers that failed it before, a line each: SIP status, a space, name
    talked_ms: int | None = None  #: from answer to end by a clock that nobody sets; None: not known
    tenant: str | None = None  #: its name, where calls of several tenants are listed

    def dialled_number(self, keyring: Keyring) -> str | None:
        """The middle number that was dialled, 700 or old. Raise SealBroken."""
        if self.dialled is not None and self.binding_id is not None:
            return keyring.open(self.dialled, binding_aad(self.code, self.binding_id))
        return None if self.called_number is None else str(self.called_number)

    @property
    def called_number(self) -> Number700 | None:
        return None if self.called is None else Number700(Code(self.code), self.called)

    @property
    def shown_number(self) -> Number700 | None:
        return None if self.shown is None else Number700(Code(self.code), self.shown)

    @property
    def duration_ms(self) -> int | None:
        """From answer to end; 0 for a call that ended unanswered, None while it runs."""
        if self.ended_at is None:
            return None
        if self.answered_at is None:
            return 0
        if self.talked_ms is not None:
            return self.talked_ms
        return max(0, round((self.ended_at - self.answered_at).total_seconds() * 1000))

    def opened(self, keyring: Keyring) -> tuple[Msisdn | None, Msisdn | None]:
        """(caller, callee). Raise SealBroken."""
        aad = binding_aad(self.code, self.id if self.binding_id is None else self.binding_id)
        caller, callee = (
            None if sealed is None else Msisdn(keyring.open(sealed, aad))
            for sealed in (self.caller, self.callee)
        )
        return caller, callee


class OpenCall(msgspec.Struct, frozen=True):
    """A call whose end is not known; ``legs`` is sealed."""

    code: int
    id: int
    node: str
    started_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    refreshed_at: datetime | None
    session_expires: int | None
    max_call_s: int | None
    media_id: str | None
    legs: bytes | None
    caller_peer: str | None
    callee_peer: str | None
    gave_up: str | None


async def merge_calls(conn: Connection, rows: dict[CallKey, CallRow]) -> int:
    """Store rows, each together with what is stored of its call already. Return the number of rows.

    Raise StoreUnavailable; whether or not it came to that, the same rows may be given again.
    """
    if not rows:
        return 0
    ordered = [rows[key] for key in sorted(rows)]  # the same order in every writer: no deadlocks
    with own_errors():
        await conn.execute(_SQL["merge_calls"], _columns(ordered), prepare=True)
    return len(ordered)


async def open_calls(conn: Connection, node: str) -> list[OpenCall]:
    """The calls of a node whose end is not known."""
    return await _all(conn, OpenCall, "open_calls", {"node": node})


async def list_calls(
    conn: Connection,
    tenant_id: int | None,
    *,
    before: int | None = None,
    after: int | None = None,
    number: Number700 | None = None,
    binding: tuple[int, int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    live: bool | None = None,
    reason: str | None = None,
    peer: str | None = None,
    refused: bool | None = None,
    platform_id: int | None = None,
    limit: int = 50,
) -> list[CallRecord]:
    """A tenant's calls, the latest first: at most ``limit`` with ids below ``before`` and above ``after``.

    ``tenant_id`` None: those of all tenants under ``platform_id``, or, where that is None too, all there are.
    ``binding`` is (code, id). ``live``: True for running calls alone, False for ended ones. ``peer`` sent the
    call, had it or failed it. ``refused``: True for calls that the platform connected to nobody.
    """
    code = number.code.value if number else binding[0] if binding else None
    params = {
        "tenant_id": tenant_id,
        "before": before,
        "after": after,
        "code": code,
        "binding_id": binding[1] if binding else None,
        "serial": number.serial if number else None,
        "since": since,
        "until": until,
        "live": live,
        "reason": reason,
        "peer": peer,
        "refused": refused,
        "platform_id": platform_id,
        "limit": limit,
    }
    return await _all(conn, CallRecord, "list_all_calls" if tenant_id is None else "list_calls", params)


async def get_call(conn: Connection, tenant_id: int, code: int, id: int) -> CallRecord:
    """Raise CallNotFound, also when the call is another tenant's."""
    found = await _all(conn, CallRecord, "get_call", {"tenant_id": tenant_id, "code": code, "id": id})
    if not found:
        raise CallNotFound
    return found[0]


async def get_any_call(conn: Connection, code: int, id: int, *, platform_id: int | None) -> CallRecord:
    """The call of any tenant, or of any under ``platform_id``. Raise CallNotFound."""
    found = await _all(conn, CallRecord, "get_any_call", {"code": code, "id": id, "platform_id": platform_id})
    if not found:
        raise CallNotFound
    return found[0]


async def order_termination(conn: Connection, tenant_id: int, code: int, id: int) -> CallRecord:
    """Ask the call's node to end it, within about a second. Raise CallNotFound or CallEnded."""
    call = await get_call(conn, tenant_id, code, id)
    if call.ended_at is not None:
        raise CallEnded
    with own_errors():
        async with conn.transaction():
            await conn.execute(_SQL["order_termination"], {"code": code, "id": id, "node": call.node})
            await conn.execute(_SQL["notify_termination"], {"node": call.node})
    return call


async def pending_orders(conn: Connection, node: str) -> list[CallKey]:
    """(code, id) of the calls that a node was asked to end and has not yet."""
    with own_errors():
        cursor = await conn.execute(_SQL["pending_orders"], {"node": node})
        return [(code, id) for code, id in await cursor.fetchall()]


async def order_done(conn: Connection, code: int, id: int) -> None:
    """The node has done what it was asked."""
    with own_errors():
        await conn.execute(_SQL["order_done"], {"code": code, "id": id})


def node_with_number(conn: psycopg.Connection[Any], number: int, *, but: str) -> str | None:
    """A node other than ``but`` that gave a call of the last hour an id with that node's number.

    No index helps: it gives up after two seconds. ``conn`` is not in autocommit mode.
    """
    conn.execute(_SQL["patience"])
    row = conn.execute(_SQL["node_with_number"], {"number": number, "but": but}).fetchone()
    return None if row is None else str(row[0])


async def _all(conn: Connection, kind: type[_T], name: str, params: dict[str, Any]) -> list[_T]:
    with own_errors():
        async with conn.cursor(row_factory=class_row(kind)) as cursor:
            await cursor.execute(_SQL[name], params)
            return await cursor.fetchall()


def _columns(rows: Sequence[CallRow]) -> dict[str, PgArray]:
    ends = [row.end for row in rows]
    return {
        "code": Int4s.of([row.code for row in rows]),
        "id": Int8s.of([row.id for row in rows]),
        "node": Texts.of_strings([row.node for row in rows]),
        "started_at": Instants.of([row.started_at - _PG_EPOCH_US for row in rows]),
        "tenant_id": _optional(Int4s, [row.tenant_id for row in rows], 4),
        "binding_id": _optional(Int8s, [row.binding_id for row in rows], 8),
        "called": Int2s.of_optional([row.called for row in rows]),
        "shown": Int2s.of_optional([row.shown for row in rows]),
        "dialled": Blobs.of_blobs([row.dialled for row in rows]),
        "caller": Blobs.of_blobs([row.caller for row in rows]),
        "callee": Blobs.of_blobs([row.callee for row in rows]),
        "ringing_at": _times(rows, lambda row: row.ringing_at),
        "answered_at": _times(rows, lambda row: row.answered_at),
        "refreshed_at": _times(rows, lambda row: row.refreshed_at),
        "session_expires": _optional(
            Int4s, [None if row.refreshed_at is None else row.session_expires for row in rows], 4
        ),
        "max_call_s": _optional(Int4s, [row.max_call_s for row in rows], 4),
        "media_id": Texts.of_strings([row.media_id for row in rows]),
        "ended_at": _times(rows, lambda row: row.end.at if row.end else None),
        "ended_by": Texts.of_strings([end.by or None if end else None for end in ends]),
        "sip_status": Int2s.of_optional([end.sip_status or None if end else None for end in ends]),
        "q850": Int2s.of_optional([end.q850 or None if end else None for end in ends]),
        "reason": Texts.of_strings([end.reason or None if end else None for end in ends]),
        "end_seen": Bools.of_blobs([None if end is None else bytes([not end.assumed]) for end in ends]),
        "talked_ms": _optional(Int8s, [end.talked_ms or None if end else None for end in ends], 8),
        "legs": Blobs.of_blobs([row.legs for row in rows]),
        "caller_peer": Texts.of_strings([row.caller_peer for row in rows]),
        "callee_peer": Texts.of_strings([row.callee_peer for row in rows]),
        "gave_up": Texts.of_strings(["\n".join(row.gave_up) or None for row in rows]),
    }


def _times(rows: Sequence[CallRow], of: Callable[[CallRow], int | None]) -> PgArray:
    return _optional(Instants, [None if (at := of(row)) is None else at - _PG_EPOCH_US for row in rows], 8)


def _optional(kind: type[PgArray], values: Sequence[int | None], size: int) -> PgArray:
    return kind.of_blobs(
        [None if value is None else value.to_bytes(size, "big", signed=True) for value in values]
    )
