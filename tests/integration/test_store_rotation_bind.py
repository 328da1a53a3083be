"""Bindings made and released while both kinds of keys are rotated: no pair twice, none lost."""

import asyncio
from datetime import timedelta

import pytest

from binding_tools import NOW, TENANT, assert_whole, bind, connection, item, value
from qibai.core.binding import Mode
from qibai.store.bindings import Binding, Bound, release
from qibai.store.keys import Keyring
from qibai.store.rotation import rotate_hash, rotate_values
from qibai.store.routes import RouteReader


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rotate_hash", "rotate_values"):
        monkeypatch.setattr(f"qibai.store.{name}.BATCH", 40)


async def _bind_until(over: asyncio.Event, dsn: str, keyring: Keyring, first: int) -> list[Binding]:
    """Bind pairs of one small circle of people again and again; release every third."""
    made = []
    async with connection(dsn) as conn:
        for turn in range(10_000):
            near, far = first + turn % 10, first + 10 + turn % 7
            mode = Mode.GXYB if turn % 5 == 0 else Mode.AXYB
            wish = item(near, far, mode=mode, members=(near, near + 100) if mode.is_group else ())
            (answer,) = await bind(conn, keyring, wish)
            assert isinstance(answer, Bound), answer
            if turn % 3 == 0:
                ended = answer.binding
                await release(
                    conn,
                    keyring,
                    TENANT,
                    ended.code,
                    ended.id,
                    now=NOW + timedelta(hours=1),
                    quarantine=timedelta(days=1),
                )
            else:
                made.append(answer.binding)
            if over.is_set():
                return made
    raise AssertionError("the rotations did not end")


async def test_binds_and_releases_go_on_and_every_pair_is_found(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        await bind(conn, keyring, *(item(5_000 + i, 6_000 + i) for i in range(200)))
    over = asyncio.Event()
    rings = [Keyring.load(keyring.path) for _ in range(2)]
    workers = [
        asyncio.create_task(_bind_until(over, dsn, ring, 1_000 * i)) for i, ring in enumerate(rings, 1)
    ]
    try:
        mine = Keyring.load(keyring.path)
        assert await asyncio.to_thread(rotate_hash, dsn, mine) == 2
        await asyncio.to_thread(lambda: rotate_values(dsn, mine, settle_s=1.5))
        assert await asyncio.to_thread(rotate_hash, dsn, mine) == 3
    finally:
        over.set()
        made = [binding for found in await asyncio.gather(*workers) for binding in found]
    assert len(made) > 20
    async with connection(dsn) as conn:
        await assert_whole(conn)
        assert await value(conn, "SELECT count(*) FROM route WHERE next_key IS NOT NULL") == 0
    reader = RouteReader(dsn, keyring)
    for binding in made:
        parties = binding.parties
        for caller in parties.near:
            record = reader.find(binding.x, caller)
            assert record is not None
            assert (record.binding_id, reader.open_callee(record)) == (binding.id, parties.b)
        assert binding.y is not None
        record = reader.find(binding.y, parties.b)
        assert record is not None
        assert (record.binding_id, reader.open_callee(record)) == (binding.id, parties.near[0])
    reader.close()
