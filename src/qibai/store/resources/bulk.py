"""Many codes at once: checked against what is there, written batch by batch, exported."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from qibai.core.codefile import BadLine, CodeLine
from qibai.store.codes import CodeRow, list_statement
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.resources.session import SQL, row, run

BATCH: Final = 2_000  #: lines of one transaction, during which binds wait


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which codes may be taken."""

    now: datetime
    quarantine: timedelta  #: from a code's return to its reuse


async def check_lines(conn: Connection, lines: Sequence[CodeLine], terms: Terms) -> list[BadLine]:
    """Those of the lines that what is there stands against. Raise StoreUnavailable."""
    params = _arrays(lines) | {"now": terms.now, "quarantine": terms.quarantine}
    with own_errors():
        cur = await conn.execute(SQL["check_lines"], params)
        return [BadLine(number, reason) for number, reason in await cur.fetchall()]


async def write_lines(conn: Connection, digest: bytes, lines: Sequence[CodeLine], done_to: int) -> None:
    """Write lines that were checked in the same transaction, and note how far the file is done."""
    if lines:
        await run(conn, "write_lines", **_arrays(lines))
    await run(conn, "import_done", digest=digest, lines=done_to)


async def lines_done(conn: Connection, digest: bytes) -> int:
    """How far an import of the file that was broken off had come; 0: not at all."""
    found = await row(conn, "import_so_far", digest=digest)
    return 0 if found is None else int(found[0])


async def finish(conn: Connection, digest: bytes) -> None:
    """The file is imported whole."""
    await run(conn, "import_over", digest=digest)


async def export(conn: Connection) -> AsyncIterator[CodeRow]:
    """All codes in order, read in batches, as they are at one instant; ``conn`` is in a transaction."""
    with own_errors():
        async with conn.cursor("codes", row_factory=class_row(CodeRow)) as cur:
            cur.itersize = BATCH
            await cur.execute(*list_statement())
            async for code in cur:
                yield code


def _arrays(lines: Sequence[CodeLine]) -> dict[str, object]:
    return {
        "lines": [line.number for line in lines],
        "codes": [line.code.value for line in lines],
        "certificates": [line.certificate for line in lines],
        "tenants": [line.tenant for line in lines],
        "provinces": [" ".join(line.provinces) for line in lines],
    }
