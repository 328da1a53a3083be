"""Rows for the store's own tests, written plainly: no allocation, no idempotency, one pair at a time."""

from datetime import UTC, datetime, timedelta

import psycopg

from qibai.core.ids import new_id
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.store.keys import Keyring, binding_aad

A = Msisdn("+8613800138000")
B = Msisdn("+8613900139000")
C = Msisdn("+8613700137000")
X = Code(12345678).number(42)


def add_route(
    conn: psycopg.Connection,
    keyring: Keyring,
    *,
    dialled: Number700 = X,
    caller: Msisdn = A,
    callee: Msisdn = B,
    shown: Number700 | None = None,
    binding_id: int | None = None,
    flags: int = 0,
    ends_in: timedelta = timedelta(hours=1),
    quarantine: timedelta = timedelta(days=1),
) -> int:
    """One route row, by the rules that every writer keeps; returns the binding's id."""
    id = new_id() if binding_id is None else binding_id
    aad = binding_aad(dialled.code.value, id)
    ends = group_ends(conn, keyring, dialled, id, ends_in) if flags else datetime.now(UTC) + ends_in
    with conn.transaction():
        row = conn.execute("SELECT write_id, extra_id FROM route_epoch()").fetchone()
        assert row is not None
        write_id, extra_id = row
        conn.execute(
            """INSERT INTO route (code, serial, caller_key, next_key, binding_id, tenant_id, shown, flags,
                                  max_call_s, ends_at, free_at, callee, caller)
               VALUES (%s, %s, %s, %s, %s, 1, %s, %s, 3600, %s, %s, %s, %s)""",
            [
                dialled.code.value,
                dialled.serial,
                keyring.blind_by(write_id, caller),
                None if extra_id is None else keyring.blind_by(extra_id, caller),
                id,
                (shown or dialled).serial,
                flags,
                ends,
                ends + quarantine,
                keyring.seal(str(callee), aad),
                keyring.seal(str(caller), aad),
            ],
        )
    return id


def group_ends(
    conn: psycopg.Connection, keyring: Keyring, dialled: Number700, id: int, ends_in: timedelta
) -> datetime:
    """The end of a group's binding, which all of its route rows share; the binding is made at the first."""
    code = dialled.code.value
    sealed = keyring.seal(str(B), binding_aad(code, id))
    conn.execute(
        """INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, x, b, members, max_call_s,
                                created_at, expires_at)
           VALUES (%s, %s, 1, 'GXB', 'parcel', 'o-1', %s, %s, '{}', 3600, now(), now() + %s)
           ON CONFLICT DO NOTHING""",
        [code, id, dialled.serial, sealed, ends_in],
    )
    row = conn.execute("SELECT expires_at FROM binding WHERE code = %s AND id = %s", [code, id]).fetchone()
    assert row is not None
    ends: datetime = row[0]
    return ends
