"""Taking over old bindings: each gets one 700 number, whatever stands in the way; nobody else is reached."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from binding_tools import connection
from migration_tools import TERMS, check_whole, count, jsonl, old, take_over
from qibai.core.existing import ExistingNumber
from qibai.core.numbering import Code, Msisdn
from qibai.core.routing import Decision, RefusalReason, Route, decide
from qibai.store import codes, tenants
from qibai.store.bindings import release
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader


@pytest.fixture
async def shop(dsn: str) -> int:
    async with connection(dsn) as conn:
        made = await tenants.add_tenant(conn, "shop")
        await codes.add_codes(conn, [Code(12345678), Code(12345679)], tenant_id=made.id)
        return made.id


@pytest.fixture
def reader(dsn: str, keyring: Keyring) -> Iterator[RouteReader]:
    made = RouteReader(dsn, keyring, 2_000)
    yield made
    made.close()


def call(reader: RouteReader, called: str, caller: str) -> Decision:
    x, who, now = ExistingNumber.parse(called), Msisdn.parse(caller), time.time()
    record = reader.find(x, who)
    in_use = record is None and reader.number_in_use(x, now)
    return decide(x, who, record, now, number_in_use=in_use, policy=reader.policy(TERMS.rules))


def reached(reader: RouteReader, called: str, caller: str) -> tuple[str, str]:
    """Who answers, and what they see."""
    decision = call(reader, called, caller)
    assert isinstance(decision, Route), decision
    return reader.open_callee(decision.record).e164, str(decision.record.shown)


async def test_each_old_number_leads_where_it_did(
    dsn: str, keyring: Keyring, shop: int, reader: RouteReader
) -> None:
    axb, axyb = old(1), old(2, y="+8617199990000", mode="AXYB")
    axn, alone = old(3, x="+8695013123456", mode="AXN"), old(4, x="01012345678", mode="AXN", b=None)
    outcome = await take_over(dsn, keyring, shop, jsonl(axb, axyb, axn, alone))
    assert (outcome.counts.moved, outcome.counts.kept, outcome.counts.rejected) == (3, 1, 0)
    assert reached(reader, axb["x"], axb["a"]) == (axb["b"], axb["x"])
    assert reached(reader, axb["x"], axb["b"]) == (axb["a"], axb["x"])
    assert reached(reader, axyb["x"], axyb["a"]) == (axyb["b"], axyb["y"])
    assert reached(reader, axyb["y"], axyb["b"]) == (axyb["a"], axyb["x"])
    assert reached(reader, axn["x"], axn["a"]) == (axn["b"], axn["x"])
    assert reached(reader, axn["x"], "+8613700000000") == (axn["a"], axn["x"])
    assert reached(reader, "+861012345678", "+8613700000000") == (alone["a"], "+861012345678")
    strangers = [
        (axb["x"], "+8613700000000"),
        (axyb["x"], axyb["b"]),
        (axyb["y"], axyb["a"]),
        (alone["x"], alone["a"]),
    ]
    for called, caller in strangers:
        decision = call(reader, called, caller)
        assert not isinstance(decision, Route) and decision.reason is RefusalReason.NOT_A_PARTY
    nobody = call(reader, "+8617088887777", axb["a"])
    assert not isinstance(nobody, Route) and nobody.reason is RefusalReason.NUMBER_MALFORMED
    check_whole(dsn)


async def test_the_old_number_ends_with_its_700_binding(
    dsn: str, keyring: Keyring, shop: int, reader: RouteReader
) -> None:
    one, other = old(1), old(2)
    await take_over(dsn, keyring, shop, jsonl(one, other))
    async with connection(dsn) as conn:
        cur = await conn.execute("SELECT code, id FROM binding WHERE order_id = 'order-1'")
        row = await cur.fetchone()
        assert row is not None
        quarantine = timedelta(days=1)
        await release(conn, keyring, shop, *row, now=datetime.now(UTC), quarantine=quarantine)
    ended = call(reader, one["x"], one["a"])
    assert not isinstance(ended, Route) and ended.reason is RefusalReason.ORDER_ENDED
    assert reached(reader, other["x"], other["a"]) == (other["b"], other["x"])


async def test_what_was_taken_over_is_not_taken_again(dsn: str, keyring: Keyring, shop: int) -> None:
    text = jsonl(*(old(n) for n in range(2_500)))
    first = await take_over(dsn, keyring, shop, text)
    assert (first.counts.moved, first.before) == (2_500, 0)
    again = await take_over(dsn, keyring, shop, text)
    assert (again.counts.all, again.before) == (0, 2_500)
    more = await take_over(dsn, keyring, shop, text + jsonl(old(9_999)))
    assert (more.counts.earlier, more.counts.moved) == (2_500, 1)
    assert count(dsn, "SELECT count(*) FROM existing_binding") == 2_501
    check_whole(dsn)


async def test_what_stands_in_the_way(dsn: str, keyring: Keyring, shop: int, reader: RouteReader) -> None:
    rows = [
        old(1),
        old(1),  # the same once more
        old(2, x=old(1)["x"], a=old(1)["a"]),  # X serves A for another already
        old(13, b=old(1)["x"]),  # an old number as a party
        old(4, b=old(4)["a"]),
        old(5, expires_at="2020-01-01T00:00:00Z"),
        old(6, order_id=None),
        old(7, a="+8613800138"),
        old(8, mode="AXN"),
    ]
    outcome = await take_over(
        dsn, keyring, shop, jsonl(*rows), replace(TERMS, rules=replace(TERMS.rules, existing_axn=False))
    )
    assert (outcome.counts.moved, outcome.counts.rejected) == (1, 8)
    with psycopg.connect(dsn) as conn:
        found = conn.execute("SELECT line, code FROM migration_reject ORDER BY place").fetchall()
    assert found == [
        (2, "repeated"),
        (3, "number_taken"),
        (4, "conflict"),
        (5, "party_repeated"),
        (6, "lifetime_invalid"),
        (7, "request_invalid"),
        (8, "number_malformed"),
        (9, "policy_refused"),
    ]
    later = await take_over(dsn, keyring, shop, jsonl(old(20, b=old(1)["x"]), old(21, x=old(1)["a"])))
    assert later.counts.rejected == 2
    check_whole(dsn)


async def test_old_numbers_serve_before_700_numbers_are_there(
    dsn: str, keyring: Keyring, shop: int, reader: RouteReader
) -> None:
    text = jsonl(old(1), old(2))
    early = await take_over(dsn, keyring, shop, text, replace(TERMS, old_only=True))
    assert (early.counts.kept, early.counts.moved) == (2, 0)
    assert reached(reader, old(1)["x"], old(1)["a"]) == (old(1)["b"], old(1)["x"])
    later = await take_over(dsn, keyring, shop, text)
    assert (later.counts.kept, later.counts.moved) == (0, 2)
    assert reached(reader, old(1)["x"], old(1)["a"]) == (old(1)["b"], old(1)["x"])
    check_whole(dsn)


async def test_it_stops_for_want_of_numbers_and_goes_on(dsn: str, keyring: Keyring, shop: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("UPDATE code SET enabled = false")
        text = jsonl(*(old(n) for n in range(1_500)))
        stopped = await take_over(dsn, keyring, shop, text)
        assert stopped.wanting is not None and stopped.wanting.code == "policy_refused"
        assert stopped.counts.moved == 0 and count(dsn, "SELECT count(*) FROM binding") == 0
        conn.execute("UPDATE code SET enabled = true")
    done = await take_over(dsn, keyring, shop, text)
    assert (done.counts.moved, done.wanting) == (1_500, None)
    assert count(dsn, "SELECT count(*) FROM migration WHERE finished_at IS NOT NULL") == 1
    assert count(dsn, "SELECT count(*) FROM migration_reject") == 0
    check_whole(dsn)
