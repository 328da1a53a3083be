"""Exports of old bindings for tests: made up, read as the command reads them, and what must come of them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from qibai.core.codefile import FileFormat
from qibai.core.oldfile import OrderFrom, RawRow, Reading, Shape, raw_rows, with_header
from qibai.core.pilot import Rules
from qibai.store.existing.model import Terms
from qibai.store.existing.run import Execution, Outcome
from qibai.store.keys import Keyring

DAY = timedelta(days=1)
TERMS = Terms(Rules(existing_axn=True), quarantine=DAY, longest=90 * DAY, max_call_s=3600, most_call_s=14_400)


def number(head: str, place: int) -> str:
    return f"+86{head}{place:08d}"


def old(place: int, *, per_x: int = 10, **more: Any) -> dict[str, Any]:
    """An AXB binding of our own shape; each ``per_x`` share an X."""
    row = {
        "x": number("170", place // per_x),
        "a": number("138", place),
        "b": number("139", place),
        "order_id": f"order-{place}",
        "binding_id": f"sub-{place}",
        "expires_at": (datetime.now(UTC) + timedelta(days=3)).isoformat(),
    }
    return {name: value for name, value in (row | more).items() if value is not None}


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@dataclass
class Text:
    """A file of old bindings that is only text."""

    text: str
    form: FileFormat = FileFormat.JSONL
    shape: Shape | None = None
    orders: OrderFrom = OrderFrom.OUT_ID
    name: str = "old.jsonl"
    digest: bytes = field(init=False)
    reading: Reading = field(init=False)

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256(self.text.encode()).digest()
        self.reading = with_header(self._lines, Reading(self.form, self.orders, self.shape))
        self.reading = self.reading.told_by(list(self.rows()))

    @property
    def _lines(self) -> list[str]:
        return self.text.splitlines(keepends=True)

    def rows(self) -> Iterator[RawRow]:
        return raw_rows(self._lines, self.reading)


async def take_over(dsn: str, keyring: Keyring, tenant_id: int, text: str, terms: Terms = TERMS) -> Outcome:
    """Run over a file once."""
    return await Execution(dsn, keyring, tenant_id, Text(text), terms).run(lambda what, count, total: None)


#: Old bindings of which not just one live 700 binding is there, or whose pairs do not say the same.
TORN = """
SELECT count(*) FROM existing_binding e
LEFT JOIN (SELECT binding_code, binding_id, count(*) AS pairs, count(new_id) AS moved, min(new_id) AS least,
                  max(new_id) AS most FROM existing_route GROUP BY 1, 2) r
    ON r.binding_code = e.code AND r.binding_id = e.id
LEFT JOIN binding b ON b.code = e.new_code AND b.id = e.new_id
WHERE r.pairs IS NULL OR (r.pairs <> 2 AND e.mode <> 'AXN')
   OR (e.new_id IS NULL AND r.moved <> 0)
   OR (e.new_id IS NOT NULL AND (b.id IS NULL OR b.order_id <> e.order_id OR b.tenant_id <> e.tenant_id
                                 OR r.moved <> r.pairs OR r.least <> e.new_id OR r.most <> e.new_id))"""
#: Live 700 bindings that no old binding has become.
ORPHANS = """
SELECT count(*) FROM binding b WHERE released_at IS NULL
AND NOT EXISTS (SELECT FROM existing_binding e WHERE e.new_code = b.code AND e.new_id = b.id)"""
#: 700 bindings that several old ones claim.
SHARED = "SELECT count(*) - count(DISTINCT (new_code, new_id)) FROM existing_binding WHERE new_id IS NOT NULL"
TWICE = "SELECT count(*) - count(DISTINCT (tenant_id, vendor_id)) FROM existing_binding"


def count(dsn: str, query: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute(query).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return int(row[0])


def check_whole(dsn: str) -> None:
    """Each old binding is there once and has at most one 700 binding, which is its own."""
    assert [count(dsn, query) for query in (TORN, ORPHANS, SHARED, TWICE)] == [0, 0, 0, 0]
