"""Old bindings and their pairs as binary COPY takes them, which is the cheapest way in."""

import struct
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from qibai.store.bindings.arrays import Instants
from qibai.store.connection import Connection
from qibai.store.existing.draft import OldDraft
from qibai.store.existing.model import Terms

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER: Final = struct.pack(">h", -1)
_NULL: Final = struct.pack(">i", -1)
_INT4: Final = struct.Struct(">ii").pack
_INT8: Final = struct.Struct(">iq").pack
_INT2: Final = struct.Struct(">ih").pack
_BOOL: Final = (struct.pack(">i?", 1, False), struct.pack(">i?", 1, True))
_SIZE: Final = struct.Struct(">i").pack
_BINDING: Final = (
    "code, id, tenant_id, mode, scene, order_id, province, vendor, vendor_id, numbers, max_call_s,"
    " created_at, expires_at, new_code, new_id"
)
_ROUTE: Final = (
    "code, caller_key, next_key, binding_code, binding_id, tenant_id, max_call_s, ends_at, free_at, numbers,"
    " pair, anyone, new_code, new_id, new_serial"
)


async def copy_in(
    conn: Connection, tenant_id: int, drafts: Iterable[OldDraft], terms: Terms, now: datetime
) -> None:
    """Write bindings that are new here; their pairs are free."""
    bindings, routes = [_HEADER], [_HEADER]
    made = _time(now)
    tenant = _INT4(4, tenant_id)
    for draft in drafts:
        bindings.append(_binding(draft, tenant, terms, made))
        routes += _routes(draft, tenant, terms)
    for table, columns, rows in (
        ("existing_binding", _BINDING, bindings),
        ("existing_route", _ROUTE, routes),
    ):
        statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
        async with conn.cursor() as cur, cur.copy(statement) as copy:
            rows.append(_TRAILER)
            await copy.write(b"".join(rows))


def _binding(draft: OldDraft, tenant: bytes, terms: Terms, made: bytes) -> bytes:
    line = draft.line
    return b"".join(
        (
            b"\0\x0f",
            _INT4(4, draft.home),
            _INT8(8, draft.id),
            tenant,
            _text(line.parties.mode.value),
            _text(draft.scene(terms).value),
            _text(line.order_id),
            _text(line.province or terms.province),
            _text(line.vendor),
            _text(line.vendor_id),
            _blob(draft.numbers),
            _INT4(4, draft.max_call_s(terms)),
            made,
            _time(draft.ends_at),
            *_new(draft),
        )
    )


def _routes(draft: OldDraft, tenant: bytes, terms: Terms) -> Iterable[bytes]:
    ends, free = _time(draft.ends_at), _time(draft.ends_at, terms.quarantine)
    home, id = _INT4(4, draft.home), _INT8(8, draft.id)
    most, new, numbers = _INT4(4, draft.max_call_s(terms)), b"".join(_new(draft)), _blob(draft.numbers)
    for place, pair in enumerate(draft.pairs):
        yield b"".join(
            (
                b"\0\x0f",
                _INT4(4, pair.dialled.code.value),
                _blob(draft.keys[place]),
                _blob(draft.next_keys[place]),
                home,
                id,
                tenant,
                most,
                ends,
                free,
                numbers,
                _INT2(2, place),
                _BOOL[pair.caller is None],
                new,
                _NULL if draft.new is None else _INT2(2, serial_of(draft, place)),
            )
        )


def serial_of(draft: OldDraft, place: int) -> int:
    """The serial of the 700 number that takes the place of a pair's."""
    new, pair = draft.new, draft.pairs[place]
    assert new is not None  # noqa: S101  # it was moved
    return (new.x if pair.dialled == draft.line.parties.x else new.far).serial


def _new(draft: OldDraft) -> tuple[bytes, bytes]:
    new = draft.new
    return (_NULL, _NULL) if new is None else (_INT4(4, new.code), _INT8(8, new.id))


def _text(text: str | None) -> bytes:
    return _blob(None if text is None else text.encode())


def _blob(blob: bytes | None) -> bytes:
    return _NULL if blob is None else _SIZE(len(blob)) + blob


def _time(at: datetime, later: timedelta = timedelta()) -> bytes:
    return _INT8(8, Instants.micros(at + later))
