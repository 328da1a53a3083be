"""One person asks, another approves, then it is done once and just so."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg
import pytest
from psycopg.rows import class_row

from audit_tools import ALICE, BOB, witness
from database_tools import as_platform
from qibai.config import DualConfig
from qibai.core.errors import Forbidden, RequestNotFound, RequestOver, SamePerson
from qibai.core.roles import Action, Role
from qibai.store import audit, dual, dual_rule, tenants
from qibai.store.actors import Actor, operator_here
from qibai.store.dual import Permit, Request, Wanted
from qibai.store.keys import Keyring

TWO = DualConfig()
HASH = Wanted(Action.KEYS_ROTATE, {"key": "hash"}, "yearly")
CAROL = replace(ALICE, name="carol", role=Role.AUDITOR, via="key:ccc")
SEALED: LiteralString = """
    SELECT id, action, params, reason, state, asked_by, asked_via, asked_at, expires_at,
    decided_by, decided_via, decided_at, used_at, digest, verdict_key_id, verdict_seal FROM dual_request"""
Connection = psycopg.AsyncConnection


@pytest.fixture
async def conn(dsn: str, keyring: Keyring) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(as_platform(dsn), autocommit=True) as made:
        for one in (ALICE, BOB):
            await key_of(made, keyring, one)
        yield made


async def key_of(conn: Connection, keyring: Keyring, who: Actor) -> None:
    """Add the key that ``who`` is known by, as ``tenants.add_key`` would."""
    id = who.via.removeprefix("key:")
    await conn.execute(
        "INSERT INTO api_key (id, person, kind, digest, secret) VALUES (%s, %s, %s, %s, %s)",
        [
            id,
            who.name,
            who.role.value,
            hashlib.sha256(b"secret").digest(),
            keyring.seal("secret", tenants.api_key_aad(id, who.role.value, None, None, who.name)),
        ],
    )


async def permit(
    conn: Connection, keyring: Keyring, config: DualConfig, who: Actor, wanted: Wanted
) -> Permit | Request:
    async with audit.acts(conn, witness(keyring)):
        return await dual.permit(conn, keyring, config, who, wanted)


async def decide(conn: Connection, keyring: Keyring, who: Actor, id: str, *, approve: bool) -> Request:
    async with audit.acts(conn, witness(keyring)):
        return await dual.decide(conn, keyring, who, id, approve=approve)


async def ask(conn: Connection, keyring: Keyring, who: Actor = ALICE, wanted: Wanted = HASH) -> Request:
    found = await permit(conn, keyring, TWO, who, wanted)
    assert isinstance(found, Request)
    return found


async def test_it_takes_another_person_and_holds_once(conn: Connection, keyring: Keyring) -> None:
    asked = await ask(conn, keyring)
    assert (asked.state, asked.asked_by, asked.reason) == ("pending", "alice", "yearly")
    assert (await ask(conn, keyring)).id == asked.id  # asking again is no second request
    approved = await decide(conn, keyring, BOB, asked.id, approve=True)
    assert (approved.state, approved.decided_by) == ("approved", "bob")
    found = await permit(conn, keyring, TWO, ALICE, HASH)
    assert isinstance(found, Permit)
    assert found.details == {"second_person": "bob", "request": asked.id, "why": "yearly"}
    assert (await ask(conn, keyring)).id != asked.id
    with pytest.raises(RequestOver):
        await decide(conn, keyring, BOB, asked.id, approve=True)
    acts = [(entry.action, entry.actor) for entry in reversed(await audit.page(conn))]
    assert acts == [("dual.ask", "alice"), ("dual.approve", "bob"), ("dual.ask", "alice")]


async def test_an_approval_is_bound_to_the_act_its_parameters_and_who_asked(
    conn: Connection, keyring: Keyring
) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)
    for who, wanted in (
        (ALICE, Wanted(Action.KEYS_ROTATE, {"key": "token"}, "yearly")),
        (ALICE, Wanted(Action.PAPER_REVOKE, {"key": "hash"}, "yearly")),
        (BOB, HASH),
    ):
        assert (await ask(conn, keyring, who, wanted)).id != asked.id
    assert isinstance(await permit(conn, keyring, TWO, ALICE, HASH), Permit)


async def test_many_at_once_use_an_approval_once(dsn: str, conn: Connection, keyring: Keyring) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)

    async def use() -> bool:
        async with await psycopg.AsyncConnection.connect(as_platform(dsn), autocommit=True) as own:
            return isinstance(await permit(own, keyring, TWO, ALICE, HASH), Permit)

    assert sorted(await asyncio.gather(*(use() for _ in range(6)))) == [False] * 5 + [True]


async def test_an_act_that_fails_leaves_the_approval(conn: Connection, keyring: Keyring) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)
    with pytest.raises(ZeroDivisionError):
        async with audit.acts(conn, witness(keyring)):
            assert isinstance(await dual.permit(conn, keyring, TWO, ALICE, HASH), Permit)
            raise ZeroDivisionError
    assert isinstance(await permit(conn, keyring, TWO, ALICE, HASH), Permit)


async def test_an_approval_ends_with_the_key_that_gave_it(conn: Connection, keyring: Keyring) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)
    await tenants.revoke_key(conn, "bbb")
    again = await ask(conn, keyring)
    assert (again.state, again.id != asked.id) == ("pending", True)
    assert (await ask(conn, keyring)).id == again.id
    other = replace(BOB, via="key:bb2")
    await key_of(conn, keyring, other)
    await decide(conn, keyring, other, again.id, approve=True)
    found = await permit(conn, keyring, TWO, ALICE, HASH)
    assert isinstance(found, Permit) and found.request is not None
    assert found.request.id == again.id


@pytest.mark.parametrize("first", ["revoked", "used"])
async def test_a_revocation_and_the_use_of_an_approval_wait_for_each_other(
    dsn: str, conn: Connection, keyring: Keyring, first: str
) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)
    async with await psycopg.AsyncConnection.connect(as_platform(dsn), autocommit=True) as own:

        async def until_it_waits(pid: int) -> None:
            waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as look:
                async with asyncio.timeout(30):
                    while (await (await look.execute(waits, [pid])).fetchone()) != (True,):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)

        if first == "revoked":
            async with own.transaction():
                await tenants.revoke_key(own, "bbb")
                using = asyncio.create_task(permit(conn, keyring, TWO, ALICE, HASH))
                await until_it_waits(conn.info.backend_pid)
            assert isinstance(await using, Request)
        else:
            async with audit.acts(conn, witness(keyring)):
                assert isinstance(await dual.permit(conn, keyring, TWO, ALICE, HASH), Permit)
                revoking = asyncio.create_task(tenants.revoke_key(own, "bbb"))
                await until_it_waits(own.info.backend_pid)
            assert await revoking


async def test_an_approval_whose_key_was_revoked_is_listed_as_void(
    dsn: str, conn: Connection, keyring: Keyring
) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)
    assert [(one.id, one.state) for one in await dual.requests(conn)] == [(asked.id, "approved")]
    async with await psycopg.AsyncConnection.connect(as_platform(dsn), autocommit=True) as own:
        assert await tenants.revoke_key(own, "bbb")
    assert await dual.requests(conn) == []
    assert [(one.id, one.state) for one in await dual.requests(conn, open_only=False)] == [(asked.id, "void")]


async def test_an_approval_that_ends_while_its_row_is_waited_for_is_over(
    dsn: str, conn: Connection, keyring: Keyring
) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)
    with psycopg.connect(dsn, autocommit=True, row_factory=class_row(dual.Sealed)) as owner:
        owner.execute("SET session_replication_role = replica")
        async with audit.acts(conn, witness(keyring)):
            await conn.execute("SELECT 1")  # the transaction has its time, which is before the end
            owner.execute("UPDATE dual_request SET expires_at = clock_timestamp()")
            ended = owner.execute(SEALED).fetchone()
            assert ended is not None and ended.decided_by and ended.decided_via
            seal = keyring.mac(ended.verdict_key_id, ended.verdict(ended.decided_by, ended.decided_via))
            owner.execute("UPDATE dual_request SET verdict_seal = %s", [seal])
            found = await dual.permit(conn, keyring, TWO, ALICE, HASH)
    assert isinstance(found, Request) and found.id != asked.id


async def test_who_cannot_approve(conn: Connection, keyring: Keyring) -> None:
    asked = await ask(conn, keyring)
    other_key = replace(ALICE, via="key:other")
    other_name = replace(ALICE, name="alias")  # the same key under another name
    young = replace(BOB, since=datetime.now(UTC) + timedelta(seconds=1))
    for who in (ALICE, other_key, other_name, young):
        with pytest.raises(SamePerson):
            await decide(conn, keyring, who, asked.id, approve=True)
    for who in (operator_here("node", "bob"), CAROL, replace(BOB, role=Role.TENANT)):
        with pytest.raises(Forbidden):
            await decide(conn, keyring, who, asked.id, approve=True)
    with pytest.raises(RequestNotFound):
        await decide(conn, keyring, BOB, "nosuch", approve=True)


async def test_a_name_alone_cannot_ask(conn: Connection, keyring: Keyring) -> None:
    with pytest.raises(Forbidden, match="two persons"):
        await permit(conn, keyring, TWO, operator_here("node", "alice"), HASH)
    with pytest.raises(Forbidden):
        await ask(conn, keyring, CAROL)  # an auditor rotates no keys
    reveal = Wanted(Action.TRACE_REVEAL, {"number": "700123456781234"}, "case 7")
    assert (await ask(conn, keyring, CAROL, reveal)).asked_by == "carol"


async def test_rejected_and_expired_requests_are_over(dsn: str, conn: Connection, keyring: Keyring) -> None:
    rejected = await ask(conn, keyring)
    with pytest.raises(Forbidden):
        await decide(conn, keyring, CAROL, rejected.id, approve=False)
    await decide(conn, keyring, BOB, rejected.id, approve=False)
    with pytest.raises(RequestOver):
        await decide(conn, keyring, BOB, rejected.id, approve=True)
    taken_back = await ask(conn, keyring)
    assert (await decide(conn, keyring, ALICE, taken_back.id, approve=False)).state == "rejected"
    late = await ask(conn, keyring)
    used_late = await ask(conn, keyring, BOB)
    await decide(conn, keyring, ALICE, used_late.id, approve=True)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "UPDATE dual_request SET expires_at = now() WHERE id = ANY(%s)", [[late.id, used_late.id]]
        )
    assert await dual.requests(conn) == []
    assert len(await dual.requests(conn, open_only=False)) == 4
    with pytest.raises(RequestOver):
        await decide(conn, keyring, BOB, late.id, approve=True)
    assert (await ask(conn, keyring, BOB)).id != used_late.id


async def test_one_person_is_enough_where_the_rule_says_so(conn: Connection, keyring: Keyring) -> None:
    async with audit.acts(conn, witness(keyring)):
        await dual_rule.set_rule(conn, keyring, ALICE, 1, {})
    found = await permit(conn, keyring, TWO, operator_here("node"), HASH)
    assert found == Permit()
    assert found.details == {"second_person": None}


@pytest.mark.parametrize(
    "change",
    [
        "state = 'approved', decided_by = asked_by, decided_via = 'key:zzz', decided_at = now()",
        "state = 'approved', decided_by = 'bob', decided_via = asked_via, decided_at = now()",
        "state = 'used', decided_by = 'bob', decided_via = 'key:bbb', decided_at = now(), used_at = now()",
        "params = '{}'",
        "expires_at = expires_at + interval '1 day'",
    ],
)
async def test_the_database_refuses_what_the_rules_do(
    conn: Connection, keyring: Keyring, change: str
) -> None:
    await ask(conn, keyring)
    with pytest.raises(
        (psycopg.errors.CheckViolation, psycopg.errors.RaiseException, psycopg.Error)
    ) as caught:
        await conn.execute(f"UPDATE dual_request SET {change}")  # type: ignore[arg-type]  # noqa: S608
    assert caught.value.sqlstate in ("23514", "QB006")


async def test_a_used_request_stays_used(conn: Connection, keyring: Keyring) -> None:
    asked = await ask(conn, keyring)
    await decide(conn, keyring, BOB, asked.id, approve=True)
    await permit(conn, keyring, TWO, ALICE, HASH)
    with pytest.raises(psycopg.Error) as caught:
        await conn.execute("UPDATE dual_request SET state = 'approved', used_at = NULL")
    assert caught.value.sqlstate == "QB006"


async def test_an_approval_is_bound_to_whole_parameters_and_to_the_reason(
    conn: Connection, keyring: Keyring
) -> None:
    def revoke(number: str, why: str = "case 7") -> Wanted:
        return Wanted(Action.PAPER_REVOKE, {"kind": "approval", "number": number}, why)

    asked = await ask(conn, keyring, ALICE, revoke("C-13800010001"))
    assert "00010001" not in asked.params
    await decide(conn, keyring, BOB, asked.id, approve=True)
    for other in (revoke("C-13899990001"), revoke("C-13800010001", "another")):
        assert (await ask(conn, keyring, ALICE, other)).id != asked.id
    found = await permit(conn, keyring, TWO, ALICE, revoke("C-13800010001"))
    assert isinstance(found, Permit) and found.request is not None
    assert found.request.id == asked.id


async def test_a_request_keeps_no_real_number(conn: Connection, keyring: Keyring) -> None:
    wanted = Wanted(Action.KEYS_ROTATE, {"key": "ask 013811110002"}, "tell 138 1111 0001")
    asked = await ask(conn, keyring, ALICE, wanted)
    assert (asked.reason, asked.params) == ("tell 138****0001", '{"key":"ask 138****0002"}')


async def test_an_approval_by_sql_has_no_effect_and_is_found(
    dsn: str, conn: Connection, keyring: Keyring
) -> None:
    asked = await ask(conn, keyring)
    await conn.execute(
        """UPDATE dual_request SET state = 'approved', decided_by = 'bob', decided_via = 'key:bbb',
                                   decided_at = now()"""
    )
    with psycopg.connect(dsn, autocommit=True) as owner:
        assert dual.forged(owner, keyring) == [asked.id]
        again = await ask(conn, keyring)
        assert (again.state, again.id != asked.id) == ("pending", True)
        await decide(conn, keyring, BOB, again.id, approve=True)
        assert isinstance(await permit(conn, keyring, TWO, ALICE, HASH), Permit)
        assert dual.forged(owner, keyring) == [asked.id]


async def test_two_who_ask_the_same_at_once_make_one_request(dsn: str, keyring: Keyring) -> None:
    async def one() -> str:
        async with await psycopg.AsyncConnection.connect(as_platform(dsn), autocommit=True) as own:
            return (await ask(own, keyring)).id

    assert len(set(await asyncio.gather(*(one() for _ in range(6))))) == 1
