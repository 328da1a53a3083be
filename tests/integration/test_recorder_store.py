"""Rows that meet rows: whatever the order of batches, PostgreSQL holds what one fold over all would give."""

import itertools
import random

import msgspec
import psycopg
import pytest

from qibai.core.errors import CallEnded, CallNotFound
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.numbering import Code, Number700
from qibai.store import calls
from qibai.store.connection import Connection
from recorder_tools import CODE, T0, answered_call, merge_events

COLUMNS = """tenant_id, binding_id, called, shown, caller, callee, node,
    extract(epoch FROM started_at)::float8,
    extract(epoch FROM ringing_at)::float8, extract(epoch FROM answered_at)::float8,
    extract(epoch FROM ended_at)::float8, ended_by, sip_status, q850, reason, end_seen, legs, max_call_s"""


async def _connect(dsn: str) -> Connection:
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True)


async def test_any_split_and_order_of_batches_gives_one_whole_row(dsn: str) -> None:
    conn = await _connect(dsn)
    events = [event for _ in range(30) for event in answered_call()]
    rng = random.Random(7)
    deck = events + rng.choices(events, k=60)
    rng.shuffle(deck)
    while deck:
        batch, deck = deck[:17], deck[17:]
        await merge_events(conn, batch)
    rows = await (await conn.execute(f"SELECT {COLUMNS} FROM call")).fetchall()  # noqa: S608
    assert len(rows) == 30
    assert set(rows) == {
        (1, 77, 42, 43, b"sealed-a", b"sealed-b", "n1", T0, T0 + 1, T0 + 2, T0 + 12.5, "callee", None, 16,
         "answered", True, None, 3600)
    }  # fmt: skip
    await conn.close()


@pytest.mark.parametrize("ringing_first", [True, False])
async def test_ringing_is_no_later_than_the_answer(dsn: str, ringing_first: bool) -> None:
    conn = await _connect(dsn)
    decided, ringing, answered, ended = answered_call(11)
    ringing = msgspec.structs.replace(ringing, at=answered.at + 1)
    await merge_events(conn, [decided, ringing if ringing_first else answered])
    await merge_events(conn, [answered if ringing_first else ringing, ended])
    rows = await (
        await conn.execute("SELECT ringing_at = answered_at, started_at < ringing_at FROM call")
    ).fetchall()
    assert rows == [(True, True)]
    await merge_events(conn, [event for event in answered_call(12) if event.kind != "ringing"])
    rows = await (await conn.execute("SELECT ringing_at FROM call WHERE id = 12")).fetchall()
    assert rows == [(None,)]
    await conn.close()


@pytest.mark.parametrize("ended_first", [True, False])
@pytest.mark.parametrize("step", [3_600, -3_600])
async def test_a_call_lasts_as_long_as_was_talked_whatever_its_times_say(
    dsn: str, step: int, ended_first: bool
) -> None:
    """The clock was set between answer and end."""
    conn = await _connect(dsn)
    *begun, ended = answered_call(11)
    end = [msgspec.structs.replace(ended, at=ended.at + step, talked_ms=10_500)]
    for batch in (end, begun) if ended_first else (begun, end):
        await merge_events(conn, batch)
    record = await calls.get_call(conn, 1, CODE, 11)
    assert record.duration_ms == 10_500
    other = msgspec.structs.replace(ended, call_id=12)
    await merge_events(conn, [*answered_call(12)[:3], other])
    assert (await calls.get_call(conn, 1, CODE, 12)).duration_ms == 10_500
    await conn.close()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_times_are_in_order_whatever_workers_noted(dsn: str, order: tuple[int, ...]) -> None:
    """A CANCEL that crosses 180, and a BYE that crosses the note of its answer."""
    conn = await _connect(dsn)
    decided, ringing, answered, ended = answered_call(11)
    ringing, answered = (msgspec.structs.replace(late, at=ended.at + 1) for late in (ringing, answered))
    events = [decided, ringing, answered, ended]
    for at in order:
        await merge_events(conn, [events[at]])
    times = "SELECT ringing_at = ended_at, answered_at = ended_at, started_at < ringing_at FROM call"
    assert await (await conn.execute(times)).fetchall() == [(True, True, True)]
    await conn.close()


async def test_a_refusal_without_a_binding_is_one_record(dsn: str) -> None:
    conn = await _connect(dsn)
    refusal = CallEvent(
        kind=CallEventKind.DECIDED, code=-1, call_id=5, at=T0, node="n1", sip_status=404, q850=28,
        reason="number_malformed", ended_by="platform",
    )  # fmt: skip
    await merge_events(conn, [refusal, refusal])
    rows = await (await conn.execute("SELECT sip_status, reason, ended_by, end_seen FROM call")).fetchall()
    assert rows == [(404, "number_malformed", "platform", True)]
    await conn.close()


@pytest.mark.parametrize("platform_first", [True, False])
async def test_ends_are_ranked_the_same_across_batches(dsn: str, platform_first: bool) -> None:
    conn = await _connect(dsn)
    begun = answered_call(9)[:3]
    lost = _end(9, 5, reason="lost", ended_by="platform")
    ours = _end(9, 30, reason="terminated", ended_by="platform")
    echo = _end(9, 30.001, reason="answered", ended_by="caller")
    for batch in (begun, [lost], *([[ours], [echo]] if platform_first else [[echo], [ours]]), [lost]):
        await merge_events(conn, batch)
    record = await calls.get_call(conn, 1, CODE, 9)
    assert (record.reason, record.ended_by, record.end_seen, record.duration_ms) == (
        "terminated", "platform", True, 28_000,
    )  # fmt: skip
    await conn.close()


async def test_an_end_without_an_answer_on_record_is_not_answered(dsn: str) -> None:
    """The callee's BYE says that it had answered; the answer's event may be read later, or never come."""
    conn = await _connect(dsn)
    decided, ringing, answered, ended = answered_call(9)
    await merge_events(conn, [decided, ringing, ended])
    assert (await calls.get_call(conn, 1, CODE, 9)).reason == "no_answer"
    assert [call.id for call in await calls.list_calls(conn, 1, reason="no_answer")] == [9]
    assert not await calls.list_calls(conn, 1, reason="answered")
    await merge_events(conn, [answered])
    assert (await calls.get_call(conn, 1, CODE, 9)).reason == "answered"
    await conn.close()


async def test_lists_filters_and_orders(dsn: str) -> None:
    conn = await _connect(dsn)
    await merge_events(conn, [*answered_call(1), *answered_call(2)[:3]])
    found = await calls.list_calls(conn, 1)
    assert [call.id for call in found] == [2, 1]
    assert [call.id for call in await calls.list_calls(conn, 1, live=True)] == [2]
    assert [call.id for call in await calls.list_calls(conn, 1, before=2)] == [1]
    assert await calls.list_calls(conn, 2) == []
    number = Number700(Code(CODE), 43)
    assert len(await calls.list_calls(conn, 1, number=number, binding=(CODE, 77))) == 2
    assert [call.id for call in await calls.open_calls(conn, "n1")] == [2]
    with pytest.raises(CallEnded):
        await calls.order_termination(conn, 1, CODE, 1)
    with pytest.raises(CallNotFound):
        await calls.order_termination(conn, 2, CODE, 2)
    await calls.order_termination(conn, 1, CODE, 2)
    assert await calls.pending_orders(conn, "n1") == [(CODE, 2)]
    await calls.order_done(conn, CODE, 2)
    assert await calls.pending_orders(conn, "n1") == []
    await conn.close()


def _end(id: int, after: float, *, reason: str, ended_by: str) -> CallEvent:
    return CallEvent(
        kind=CallEventKind.ENDED,
        code=CODE,
        call_id=id,
        at=T0 + after,
        node="n1",
        reason=reason,
        ended_by=ended_by,
    )


async def test_a_refused_call_is_its_codes_owners(dsn: str) -> None:
    conn = await _connect(dsn)
    await conn.execute("INSERT INTO tenant (name) VALUES ('acme')")
    await conn.execute("INSERT INTO code (code, tenant_id) SELECT %s, id FROM tenant", [CODE])
    (owner,) = (await (await conn.execute("SELECT id FROM tenant")).fetchall())[0]
    refused = CallEvent(
        kind=CallEventKind.REFUSED,
        code=CODE,
        call_id=5,
        at=T0,
        node="n1",
        called=42,
        sip_status=403,
        reason="source_unknown",
        ended_by="platform",
        caller_peer="192.0.2.9",
    )
    elsewhere = msgspec.structs.replace(refused, call_id=6, code=CODE + 1)
    nowhere = msgspec.structs.replace(refused, call_id=7, code=-1, called=None)
    events = [refused, elsewhere, nowhere]
    await merge_events(conn, [*events, *answered_call(8)])
    await merge_events(conn, events)
    rows = await (await conn.execute("SELECT id, tenant_id FROM call ORDER BY id")).fetchall()
    assert rows == [(5, owner), (6, None), (7, None), (8, 1)]
    (found,) = await calls.list_calls(conn, owner, refused=True)
    assert (found.id, found.caller_peer, found.reason) == (5, "192.0.2.9", "source_unknown")
    assert [one.id for one in await calls.list_calls(conn, None, refused=True)] == [7, 6, 5]
    assert [one.id for one in await calls.list_calls(conn, None, peer="192.0.2.9", limit=1)] == [7]
    assert [one.id for one in await calls.list_calls(conn, None, reason="busy")] == []
    await conn.close()


async def test_peers_of_a_call_are_merged_as_one_fold_would_do(dsn: str) -> None:
    conn = await _connect(dsn)
    decided, ringing, answered, ended = answered_call(9)
    events = [
        msgspec.structs.replace(decided, caller_peer="east"),
        *(
            msgspec.structs.replace(ringing, kind=CallEventKind.HANDED_ON, gave_up=said)
            for said in ("503 south", "408 west of south", "503 south")
        ),
        msgspec.structs.replace(answered, callee_peer="north"),
        msgspec.structs.replace(ended, callee_peer="north"),
    ]
    rng = random.Random(3)
    for id in range(20, 32):
        deck = [msgspec.structs.replace(event, call_id=id) for event in events]
        rng.shuffle(deck)
        for event in deck:
            await merge_events(conn, [event])
    rows = await (
        await conn.execute("SELECT DISTINCT caller_peer, callee_peer, gave_up FROM call")
    ).fetchall()
    assert rows == [("east", "north", "408 west of south\n503 south")]
    for peer, count in (("west of south", 12), ("south", 12), ("north", 12), ("east", 12), ("503", 0)):
        assert len(await calls.list_calls(conn, 1, peer=peer)) == count
    await conn.close()
