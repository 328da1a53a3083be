"""Messages in PostgreSQL: look-ups of many pairs, acceptance, progress, records, and the platform's own."""

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from store_rows import A, B, C, X, add_route

from binding_tools import connection
from qibai.core.errors import IdempotencyMismatch, MessageNotFound
from qibai.core.ids import new_id
from qibai.core.messages import MessageState
from qibai.core.numbering import Code
from qibai.core.text import Concat, Encoding, Part
from qibai.store import messages
from qibai.store.bindings import Idempotency
from qibai.store.keys import Keyring
from qibai.store.messages import Kind, MessageRow, PlatformMessage, SentPart
from qibai.store.rotate_values import rotate_values
from qibai.store.rotation import rotate_hash
from qibai.store.routes import NO_MESSAGES, TO_GROUP, RouteReader

CODE = X.code.value


@pytest.fixture
def plain(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as made:
        yield made


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with connection(dsn) as made:
        yield made


def row(**more: Any) -> MessageRow:
    now = time.time()
    columns: dict[str, Any] = {
        "code": CODE,
        "id": new_id(),
        "kind": Kind.RELAY,
        "tenant_id": 1,
        "binding_id": 5,
        "called": 42,
        "shown": 42,
        "node": "n",
        "in_link": "smsc",
        "in_ref": str(new_id()),
        "state": MessageState.QUEUED,
        "created_at": now,
        "valid_until": now + 60,
        "due_at": now,
    }
    return MessageRow(**(columns | more))


def now() -> datetime:
    return datetime.now(UTC)


async def test_pairs_are_found_as_the_reader_of_calls_finds_them(
    dsn: str, conn: Any, plain: psycopg.Connection, keyring: Keyring
) -> None:
    numbers = [Code(70_000_000 + i).number(i) for i in range(40)]
    for place, number in enumerate(numbers):
        if place % 3:
            add_route(plain, keyring, dialled=number, flags=(0, TO_GROUP, NO_MESSAGES)[place % 3])
    wanted = [(number, caller) for number in numbers for caller in (A, C)]
    found = await messages.find_pairs(conn, keyring, wanted, now())
    reader = RouteReader(dsn, keyring)
    at = time.time()
    for (number, caller), pair in zip(wanted, found, strict=True):
        assert pair.record == reader.find(number, caller)
        assert pair.number_in_use == (pair.record is None and reader.number_in_use(number, at))
    reader.close()


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_an_old_keyring_finds_pairs_all_through_the_rotation_of_the_hash_key(
    dsn: str, conn: Any, plain: psycopg.Connection, keyring: Keyring, steps: int
) -> None:
    old = Keyring.load(keyring.path)
    add_route(plain, keyring)

    class _Enough(Exception):
        pass

    def stop(step: Any) -> None:
        phase = plain.execute("SELECT phase FROM hash_rotation").fetchone()
        if phase == (steps,):
            raise _Enough

    with pytest.raises(_Enough):
        rotate_hash(dsn, keyring, stop)
    (pair,) = await messages.find_pairs(conn, old, [(X, A)], now())
    assert pair.record is not None


async def test_the_same_from_a_peer_is_one_message(conn: Any) -> None:
    first = row(in_ref="r1")
    assert await messages.accept(conn, [first]) == [None]
    again, other = row(in_ref="r1"), row(in_ref="r2")
    known, stored = await messages.accept(conn, [again, other])
    assert known is not None
    assert (known.id, known.state) == (first.id, MessageState.QUEUED)
    assert stored is None
    elsewhere = row(in_ref="r1", in_link="another")
    assert await messages.accept(conn, [elsewhere]) == [None]


async def test_parts_are_joined_in_the_commit_of_the_last(conn: Any) -> None:
    first, second = (row(long_ref=7, long_total=3, long_seq=n) for n in (1, 2))
    await messages.accept(conn, [first, second])
    assert [part.id for part in await messages.waiting_parts(conn, "n")] == [first.id, second.id]
    last = row(joined=[first.id, second.id], long_ref=7, long_total=3, long_seq=3)
    await messages.accept(conn, [last])
    loaded = {one.id: one for one in await messages.load_rows(conn, [first.key, second.key, last.key])}
    assert loaded[first.id].whole_id == loaded[second.id].whole_id == last.id
    assert loaded[last.id].joined == [first.id, second.id]
    assert [one.id for one in await messages.due(conn, "n", now() + timedelta(days=1), 9)] == [last.id]


async def test_a_final_state_stays_and_takes_the_text_along(conn: Any, keyring: Keyring) -> None:
    one = row()
    one.body = messages.seal_body(keyring, one.code, one.id, "见面地点")
    await messages.accept(conn, [one])
    one.state, one.sent_at, one.out_link = MessageState.SENT, float(int(time.time())), "smsc"
    part = SentPart(
        code=one.code, id=one.id, part=1, link="smsc", ref="9f", state=MessageState.SENT, sent_at=one.sent_at
    )
    await messages.update(conn, one.node, [messages.Change(one, [part])])
    assert await messages.find_sent(conn, [("smsc", "9f"), ("smsc", "9e")]) == [part]
    (loaded,) = await messages.load_rows(conn, [one.key])
    assert messages.open_body(keyring, one.code, one.id, loaded.body or b"") == "见面地点"
    one.state, one.final_at, one.due_at = MessageState.DELIVERED, time.time(), None
    await messages.update(conn, one.node, [messages.Change(one, clear=True)])
    one.state, one.reason = MessageState.REJECTED, "peer_rejected"
    await messages.update(conn, one.node, [messages.Change(one, clear=True)])
    (loaded,) = await messages.load_rows(conn, [one.key])
    assert (loaded.state, loaded.reason, loaded.body) == (MessageState.DELIVERED, None, None)
    assert await messages.find_sent(conn, [("smsc", "9f")]) == []


@pytest.mark.parametrize(
    "body",
    [
        "Grüße 🚚",
        Part(b"\x00\xff", Encoding.BINARY, Concat(65_535, 3, 2, True)),
        Part(b"hi", Encoding.GSM7),
    ],
)
def test_a_body_opens_as_it_was_sealed_and_under_its_own_id_alone(keyring: Keyring, body: Any) -> None:
    sealed = messages.seal_body(keyring, 1, 2, body)
    assert messages.open_body(keyring, 1, 2, sealed) == body


def test_a_record_shows_the_shape_of_a_text() -> None:
    assert messages.starred("Hi, 您好 138!") == "**, ** ***!"
    assert messages.starred("x" * 80) == "*" * 70 + "… (80)"


async def test_the_platforms_message_is_kept_once_a_key(
    conn: Any, plain: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(plain, keyring)
    (pair,) = await messages.find_pairs(conn, keyring, [(X, A)], now())
    assert pair.record is not None
    message = PlatformMessage(record=pair.record, text="到了", valid_until=now() + timedelta(hours=1))
    key = Idempotency(b"k" * 16, b"r" * 16)
    sent = await messages.enqueue(conn, keyring, message, now=now(), idempotency=key)
    assert (sent.replayed, sent.record.state, sent.record.kind) == (
        False,
        MessageState.QUEUED,
        Kind.PLATFORM,
    )
    assert sent.record.opened(keyring) == (A, B)
    again = await messages.enqueue(conn, keyring, message, now=now(), idempotency=key)
    assert (again.replayed, again.record.id) == (True, sent.record.id)
    with pytest.raises(IdempotencyMismatch):
        await messages.enqueue(conn, keyring, message, now=now(), idempotency=Idempotency(key.key, b"x" * 16))
    (mine,) = await messages.adopt(conn, "n", now(), 9)
    assert (mine.id, mine.node) == (sent.record.id, "n")
    assert messages.open_body(keyring, mine.code, mine.id, mine.body or b"") == "到了"
    assert await messages.adopt(conn, "m", now(), 9) == []


async def test_records_are_listed_for_their_tenant_alone(
    conn: Any, plain: psycopg.Connection, keyring: Keyring
) -> None:
    binding = add_route(plain, keyring, flags=TO_GROUP)
    rows = [row(binding_id=binding) for _ in range(3)] + [row(kind=Kind.NOTICE), row(tenant_id=2)]
    rows.append(row(state=MessageState.REJECTED, reason="not_bound"))
    await messages.accept(conn, rows)
    ids = sorted((one.id for one in rows[:3]), reverse=True)
    listed = await messages.list_messages(conn, 1, order_id="o-1")
    assert [record.id for record in listed] == ids
    assert {record.order_id for record in listed} == {"o-1"}
    assert [r.id for r in await messages.list_messages(conn, 1, binding=(CODE, binding), limit=2)] == ids[:2]
    assert [r.id for r in await messages.list_messages(conn, 1, binding=(CODE, binding), before=ids[1])] == [
        ids[2]
    ]
    assert [r.id for r in await messages.list_messages(conn, 1, state=MessageState.REJECTED)] == [rows[5].id]
    assert await messages.list_messages(conn, 1, until=now() - timedelta(hours=1)) == []
    with pytest.raises(MessageNotFound):
        await messages.get_message(conn, 2, CODE, ids[0])


async def test_the_rotation_of_value_keys_reaches_messages(
    dsn: str, conn: Any, plain: psycopg.Connection, keyring: Keyring
) -> None:
    add_route(plain, keyring)
    (pair,) = await messages.find_pairs(conn, keyring, [(X, A)], now())
    assert pair.record is not None
    message = PlatformMessage(record=pair.record, text="到了", valid_until=now() + timedelta(hours=1))
    sent = await messages.enqueue(conn, keyring, message, now=now())
    before = keyring.value_id
    rotate_values(dsn, keyring, settle_s=0.0)
    assert keyring.value_id != before
    found = await messages.get_message(conn, 1, sent.record.code, sent.record.id)
    blobs = [found.sender, found.receiver, found.body]
    assert {int.from_bytes((blob or b"")[:2]) for blob in blobs} == {keyring.value_id}
    assert found.opened(keyring) == (A, B)
