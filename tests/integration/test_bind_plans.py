"""However full a table gets, binding and releasing look only at the rows that are theirs."""

from binding_tools import DAY, NOW, TENANT, bind, connection, item, value
from qibai.core.binding import Mode
from qibai.store.bindings import Bound, Released, release_many
from qibai.store.connection import Connection
from qibai.store.keys import Keyring

LIVE, MORE = 2_000, 500
READ = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname ~ '^(route|binding)_p'"


async def test_plans_of_empty_tables_serve_full_ones(dsn: str, keyring: Keyring) -> None:
    """A connection plans while the tables are known to be empty, and keeps its plans as they fill up."""
    async with connection(dsn) as conn:
        await conn.execute("VACUUM ANALYZE route, binding")
        ids = await _bind(conn, keyring, 0, 1)
        assert await _release(conn, keyring, ids) == 1
        await _bind(conn, keyring, 10_000, LIVE)
        before = await _read(conn)
        ids = await _bind(conn, keyring, 100_000, MORE)
        assert await _read(conn) - before < 10 * MORE
        before = await _read(conn)
        assert await _release(conn, keyring, ids) == MORE
        assert await _read(conn) - before < 20 * MORE


async def _bind(conn: Connection, keyring: Keyring, first: int, count: int) -> list[tuple[int, int]]:
    parties = range(first, first + 2 * count, 2)
    answers = await bind(conn, keyring, *(item(n, n + 1, mode=Mode.AXYB) for n in parties))
    bound = [answer.binding for answer in answers if isinstance(answer, Bound)]
    assert len(bound) == count
    return [(binding.code, binding.id) for binding in bound]


async def _release(conn: Connection, keyring: Keyring, ids: list[tuple[int, int]]) -> int:
    answers = await release_many(conn, keyring, TENANT, ids, now=NOW, quarantine=DAY)
    return sum(isinstance(answer, Released) for answer in answers)


async def _read(conn: Connection) -> int:
    await conn.execute("SELECT pg_stat_force_next_flush()")
    await conn.execute("SELECT pg_stat_clear_snapshot()")
    return int(await value(conn, READ))
