"""Old middle numbers, by real calls and by query: beside 700 numbers, cut over, rolled back, at the end."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api_tools import Api, Tenant, wait_for
from binding_tools import connection
from migration_tools import TERMS, Text, jsonl, old
from qibai.config import PilotConfig
from qibai.core.events import CallEventKind
from qibai.core.numbering import Code, Msisdn, Number700, Province, parse_province
from qibai.core.pilot import BEIJING, shift_by
from qibai.core.roles import Role
from qibai.store import resources, tenants
from qibai.store.existing import business
from qibai.store.existing.rollback import RollBack
from qibai.store.existing.run import Execution, turn
from qibai.store.resources import Paper
from qibai.store.spool_reader import SpoolReader
from qibai.testing.clock import Clock, follow
from qibai.testing.sipp import Scenario
from recorder_tools import merge_events
from resource_tools import apply
from voice_tools import A, B, Bench, answering, bench, calling

pytestmark = pytest.mark.voice

PILOT = PilotConfig(notice="2025-07-15", existing_axn=True)
STRANGER = Msisdn("+8613711112222")
X, Y = "+8617012340001", "+8617112340002"
SHARED = "01012345678"
GUANGDONG: Province = parse_province("44")


@dataclass
class World:
    api: Api
    voice: Bench
    clock: Clock
    shop: int
    network: Tenant

    def at(self, beijing: str) -> None:
        """It is this time in Beijing for the rules, in every process."""
        self.clock.set(datetime.fromisoformat(beijing).replace(tzinfo=BEIJING).timestamp(), time.time())

    def connects(self, dialled: str, caller: Msisdn, callee: Msisdn, shown: str) -> None:
        """A real call, in which the callee sees ``shown`` alone; and the query says the same."""
        seen = self.voice.call(
            _calling(caller, dialled).pause(30).request("BYE").expect(200),
            answering(callee).expect_request("BYE").reply(200),
            parties=(caller, callee),
        )
        assert f"From: <sip:{shown}@" in seen.callee[0]
        answer = self.translate(dialled, caller)
        assert (answer["decision"], answer["callee"], answer["shown"]) == ("connect", callee.e164, shown)

    def refused(self, dialled: str, caller: Msisdn, rule: str, status: int = 403) -> None:
        """A real call is refused, its record names the rule, and so does the query."""
        far = B if caller == A else A
        scenario = Scenario(caller.national).invite(dialled).expect(100, optional=True).expect(status)
        seen = self.voice.call(scenario.fail_ack(dialled), None, parties=(caller, far))
        assert "Reason: Q.850;cause=" in seen.caller[-1]
        assert self.latest().reason == rule
        answer = self.translate(dialled, caller)
        assert (answer["decision"], answer["rule"] or answer["reason"]) == ("refuse", rule)

    def latest(self) -> Any:
        events = [
            msgspec.json.decode(line[9:], type=Event)
            for file in sorted(self.voice.platform.config.spool_dir.glob("*"))
            for line in file.read_bytes().splitlines()
        ]
        decided = [event for event in events if event.kind == CallEventKind.DECIDED]
        return max(decided, key=lambda event: event.at)

    def translate(self, dialled: str, caller: Msisdn) -> dict[str, Any]:
        body = {"called": dialled, "caller": caller.e164}
        answer = self.api.call(self.network, "POST", "/v1/translations", body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def take_over(self, *rows: Any, old_only: bool = False) -> None:
        terms = replace(TERMS, rules=PILOT.rules, old_only=old_only)
        run = Execution(self.api.dsn, self.api.keyring, self.shop, Text(jsonl(*rows)), terms)
        outcome = asyncio.run(run.run(lambda what, count, total: None))
        assert (outcome.counts.rejected, outcome.wanting) == (0, None)

    def cut_over(self) -> None:
        async def work() -> None:
            async with connection(self.api.dsn) as conn, conn.transaction():
                await business.cut_over(conn, "shop", now=datetime.now(UTC), force=True)

        asyncio.run(work())

    def roll_back(self) -> None:
        async def work() -> None:
            async with turn(self.api.dsn) as conn:
                id = await business.begin_roll_back(conn, "shop", PILOT.rules, now=datetime.now(UTC))
                back = RollBack(conn, self.api.keyring, id, timedelta(days=1))
                await back.run(lambda what, count, total: None)

        asyncio.run(work())

    def new_number(self, order: str) -> str:
        ((code, x),) = self.api.sql("SELECT code, x FROM binding WHERE order_id = %s", order)
        return str(Code(code).number(x))


class Event(msgspec.Struct):
    kind: str
    at: float
    reason: str | None = None


def _calling(number: Msisdn, dialled: str) -> Scenario:
    return (
        calling(number, Number700.parse(dialled))
        if dialled.startswith("700")
        else (
            Scenario(number.national)
            .invite(dialled)
            .expect(100, optional=True)
            .expect(180, optional=True)
            .expect(183, optional=True)
            .expect(200)
            .ack()
        )
    )


@pytest.fixture
def world(tmp_path: Path, database: Callable[[], str]) -> Iterator[World]:
    dsn = database()
    clock = Clock(tmp_path / "clock")
    with bench(tmp_path, lambda: dsn, pilot=PILOT, clock=clock.path) as voice:
        api = Api(tmp_path / "home", dsn, clock=clock.path)
        api.config = msgspec.structs.replace(api.config, pilot=PILOT)
        made = World(api.start(), voice, clock, asyncio.run(_enterprise(dsn)), _network(api))
        made.at("2025-12-01T12:00:00")
        follow(str(clock.path))  # this process takes over and cuts over
        try:
            yield made
        finally:
            shift_by(None)
            api.stop()


def _network(api: Api) -> Tenant:
    return api.tenant("carrier", kind=Role.NETWORK)


async def _enterprise(dsn: str) -> int:
    """One that has codes and has not applied yet."""
    async with connection(dsn) as conn:
        await resources.add_platform(conn, "east")
        shop = await tenants.add_tenant(conn, "shop")
        await resources.place_tenant(conn, "shop", "east")
        paper = Paper("E", (GUANGDONG,), date(2025, 10, 15), date(2027, 12, 31))
        await resources.add_paper(conn, "certificate", "east", paper)
        code = Code(11111111)
        now = datetime(2025, 12, 1, tzinfo=UTC)
        await resources.assign(conn, [code], "E", now=now, quarantine=timedelta())
        await resources.open_(conn, [code], [GUANGDONG])
        await resources.give(conn, [code], "shop", now=now)
        return shop.id


def test_old_and_new_numbers_through_the_transition(world: World) -> None:
    axb = old(1, x=X, a=A.e164, b=B.e164, order_id="both")
    axyb = old(2, x=X, y=Y, a=STRANGER.e164, b="+8613722221111", order_id="two")
    rows = axb, axyb, old(3, x=SHARED, a="+8613733330000", b=None, mode="AXN", order_id="all")
    world.take_over(*rows, old_only=True)
    three, four = Msisdn("+8613722221111"), Msisdn("+8613733330000")

    # Nobody serves in the transition who has not applied.
    world.refused(X, A, "pilot_not_applied")
    asyncio.run(_apply(world.api.dsn))
    world.connects(X, A, B, X)
    world.take_over(*rows)

    # Both numbers lead to the same party, each showing itself, or what its mode says.
    new = world.new_number("both")
    world.connects(X, A, B, X)
    world.connects(X, B, A, X)
    world.connects("17012340001", A, B, X)
    world.connects(new, A, B, new)
    world.connects(new, B, A, new)
    world.connects(X, STRANGER, three, Y)
    world.connects(Y, three, STRANGER, X)
    world.connects(SHARED, A, four, "+861012345678")

    # Whoever is no party reaches nobody, but where anyone may dial.
    world.refused(X, four, "not_a_party")
    world.refused(Y, STRANGER, "not_a_party")
    world.refused(SHARED, four, "not_a_party")
    world.refused("+8617099998888", A, "number_malformed", 404)

    # A call to an old number is on record with the number that was dialled.
    tenant = Tenant("shop", world.shop, asyncio.run(_key(world)))
    wait_for(lambda: X in {call["called"] for call in _calls(world, tenant)})

    # Rolled back, the old number goes on and the new one ends; taken over again, there is another.
    world.roll_back()
    world.connects(X, A, B, X)
    world.refused(new, A, "order_ended", 410)
    world.take_over(*rows)
    new = world.api.sql("SELECT code, x FROM binding WHERE order_id = 'both' AND released_at IS NULL")
    new = str(Code(new[0][0]).number(new[0][1]))
    world.connects(new, A, B, new)

    # Cut over: the old number is refused by a rule, the new one works.
    world.cut_over()
    world.refused(X, A, "moved_to_700")
    world.refused(SHARED, A, "moved_to_700")
    world.connects(new, A, B, new)
    world.roll_back()
    world.connects(X, A, B, X)

    # After the transition only 700 numbers serve, whatever was done or undone.
    world.at("2026-01-15T00:00:00")
    world.refused(X, A, "only_700")
    world.refused(SHARED, B, "only_700")


async def _apply(dsn: str) -> None:
    async with connection(dsn) as conn:
        await apply(conn, "east", datetime(2025, 11, 1, tzinfo=UTC))


async def _key(world: World) -> tenants.NewApiKey:
    async with connection(world.api.dsn) as conn:
        return await tenants.add_key(conn, world.api.keyring, world.shop)


def _calls(world: World, tenant: Tenant) -> list[dict[str, Any]]:
    """What the recorder would store of the spool, as the tenant reads it."""
    asyncio.run(_store(world))
    found: list[dict[str, Any]] = world.api.call(tenant, "GET", "/v1/calls").json()["items"]
    return found


async def _store(world: World) -> None:
    reader = SpoolReader(world.voice.platform.config.spool_dir)
    async with connection(world.api.dsn) as conn:
        await merge_events(conn, reader.read()[0])
