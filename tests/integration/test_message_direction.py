"""Who may write: a binding's `messages`, through all that changes its pairs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from binding_tools import bound, connection, item, msisdn
from qibai.core.binding import Messages, Mode
from qibai.core.numbering import Msisdn, Number700
from qibai.store.bindings import BindingEditor, get
from qibai.store.keys import Keyring
from qibai.store.messages import find_pairs

WAYS = [
    (Messages.BOTH, True, True),
    (Messages.A_TO_B, True, False),
    (Messages.B_TO_A, False, True),
    (Messages.NONE, False, False),
]


async def may_write(conn: Any, keyring: Keyring, number: Number700, who: Msisdn) -> bool:
    (pair,) = await find_pairs(conn, keyring, [(number, who)], datetime.now(UTC))
    assert pair.record is not None
    return not pair.record.no_messages


@pytest.mark.parametrize(("messages", "from_a", "from_b"), WAYS)
@pytest.mark.parametrize("mode", [Mode.AXB, Mode.AXYB])
async def test_a_binding_says_who_may_write(
    dsn: str, keyring: Keyring, *, mode: Mode, messages: Messages, from_a: bool, from_b: bool
) -> None:
    async with connection(dsn) as conn:
        made = await bound(conn, keyring, item(mode=mode, messages=messages))
        assert (await get(conn, keyring, made.tenant_id, made.code, made.id)).messages is messages
        assert await may_write(conn, keyring, made.x, msisdn(1)) == from_a
        assert await may_write(conn, keyring, made.far, msisdn(2)) == from_b


@pytest.mark.parametrize(("messages", "from_a", "from_b"), WAYS)
async def test_newcomers_may_what_their_predecessors_might(
    dsn: str, keyring: Keyring, messages: Messages, from_a: bool, from_b: bool
) -> None:
    now = datetime.now(UTC)
    async with connection(dsn) as conn:
        group = item(mode=Mode.GXYB, members=(1, 3), messages=messages, expires_at=now + timedelta(hours=1))
        made = await bound(conn, keyring, group, now=now)
        changes = BindingEditor(conn, keyring, made.tenant_id, now=now, quarantine=timedelta(hours=1))
        await changes.add_members(made.code, made.id, [msisdn(4)])
        await changes.change_party(made.code, made.id, b=msisdn(5))
        assert await may_write(conn, keyring, made.x, msisdn(4)) == from_a
        assert await may_write(conn, keyring, made.far, msisdn(5)) == from_b
