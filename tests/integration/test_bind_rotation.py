"""Bindings are made, changed and released at every step of a rotation of the hash key, and no pair twice."""

import asyncio

from binding_tools import (
    CODES,
    DAY,
    HOUR,
    NOW,
    TENANT,
    assert_whole,
    bind,
    bound,
    connection,
    item,
    msisdn,
    value,
)
from qibai.core.binding import Mode
from qibai.core.errors import NumberTaken
from qibai.core.numbering import Code, Number700
from qibai.store.bindings import BindingEditor, release
from qibai.store.keys import Keyring
from qibai.store.rotate_hash import rotate_hash
from qibai.store.routes import RouteReader

EXPECTED = Number700(Code(CODES[0].code), 4321)


async def test_uniqueness_holds_in_every_phase(dsn: str, keyring: Keyring) -> None:
    loop = asyncio.get_running_loop()
    mover = Keyring.load(keyring.path)
    people = iter(range(100, 1_000_000))
    phases = set()
    async with connection(dsn) as conn:
        reader = RouteReader(dsn, keyring)
        first = await bound(conn, keyring, item(1, 2, mode=Mode.AXYB, expected=EXPECTED))

        async def live() -> None:
            """What everybody does, at one moment of the rotation."""
            phases.add(await value(conn, "SELECT phase FROM hash_rotation"))
            (answer,) = await bind(conn, keyring, item(1, next(people), expected=EXPECTED))
            assert isinstance(answer, NumberTaken)
            one = await bound(conn, keyring, item(next(people), next(people), mode=Mode.AXYB))
            editor = BindingEditor(conn, keyring, TENANT, now=NOW, quarantine=HOUR)
            newcomer = msisdn(next(people))
            await editor.change_party(one.code, one.id, b=newcomer)
            await editor.extend(one.code, one.id, NOW + 2 * DAY)
            record = reader.find(one.far, newcomer)
            assert record is not None
            assert record.ends_at == (NOW + 2 * DAY).timestamp()
            await release(conn, keyring, TENANT, one.code, one.id, now=NOW, quarantine=DAY)
            record = reader.find(one.x, one.parties.near[0])
            assert record is not None
            assert record.ends_at == 0  # an act ended it: over by every clock
            await bound(
                conn, keyring, item(b=next(people), mode=Mode.GXB, members=(next(people), next(people)))
            )
            await assert_whole(conn)

        def step(_: object) -> None:
            asyncio.run_coroutine_threadsafe(live(), loop).result(30)

        await live()
        await asyncio.to_thread(rotate_hash, dsn, mover, step)
        await live()
        assert phases >= {0, 1, 2, 3}
        record = reader.find(EXPECTED, msisdn(1))
        assert record is not None
        assert record.binding_id == first.id
        await assert_whole(conn)
        reader.close()
