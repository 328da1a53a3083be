"""Random lives of application platforms, their papers, codes and numbers, against a simple model.

After every step each enterprise tries to bind on every code, so that what must never happen has every chance:
a number bound by a platform that does not hold it, or bound while the number or its code is in quarantine.
"""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from binding_tools import item, msisdn
from qibai.core.errors import QibaiError
from qibai.core.numbering import Code, Number700, parse_province
from qibai.core.pilot import ApplicationState, CodeState
from qibai.core.routing import Route, decide
from qibai.store import resources, tenants
from qibai.store.bindings import Bound, Entitlement, bind_many, release
from qibai.store.keys import Keyring
from qibai.store.resources import Outcome, Paper, Terms
from qibai.store.routes import RouteReader
from resource_tools import GRACE, RULES, Enterprise

START = datetime(2025, 7, 1, tzinfo=UTC)  # before the notice
MIDWAY = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
REST = 20 * DAY  #: from a code's return to its reuse
PROVINCES = [parse_province("44"), parse_province("31")]
CODES = [Code(11111111), Code(22222222)]
SERIAL = 7  # the one number of each code that is ever bound, so that lives meet
NAMES = ["east", "west"]

names = st.sampled_from(NAMES)
codes = st.sampled_from(CODES)


@dataclass
class Holder:
    """What the model knows of an application platform. Times are those of the rules."""

    applied_at: datetime | None = None
    approval: tuple[date, date] | None = None
    certificate: tuple[date, date] | None = None
    revoked_at: datetime | None = None
    exit_at: datetime | None = None
    papers: int = 0


@dataclass
class Held:
    """What the model knows of a code."""

    holder: str | None = None
    tenant: str | None = None
    state: CodeState | None = None
    provinces: set[str] = field(default_factory=set)
    aside: bool = False
    locked: bool = False
    returned_at: datetime | None = None
    binding: Any = None
    bound_until: datetime = START
    free_from: datetime = START


class Resources(RuleBasedStateMachine):
    """What operators do, with time passing, and two enterprises that bind whenever they may."""

    shared_dsn: str
    keyring: Keyring

    @initialize(ready=st.booleans())
    def start(self, ready: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.conn = self.do(psycopg.AsyncConnection.connect(self.shared_dsn, autocommit=True))
        self.do(self.conn.execute("TRUNCATE platform, tenant, code, number_lock, binding, route CASCADE"))
        self.reader = RouteReader(self.shared_dsn, self.keyring)
        self.policy = self.reader.policy(RULES)
        self.now = START
        self.people = itertools.count(100)
        self.holders = {name: Holder() for name in NAMES}
        self.held = {code: Held() for code in CODES}
        self.enterprises = {}
        for name in NAMES:
            self.do(resources.add_platform(self.conn, name))
            tenant = self.do(tenants.add_tenant(self.conn, f"{name}-shop"))
            self.do(resources.place_tenant(self.conn, tenant.name, name))
            self.enterprises[name] = Enterprise(name, tenant.id, [], Entitlement(tenant.id, RULES))
        if ready:  # so that there is something to lose: otherwise most lives never come to a bind
            self.now = MIDWAY
            for name, code in zip(NAMES, CODES, strict=True):
                self.apply(name, granted=True)
                self.grant(name, days=400)
                self.assign(code, name)
                self.give(code, name)
                self.open_or_close(code, PROVINCES[0], opens=True)

    def teardown(self) -> None:
        if hasattr(self, "reader"):
            self.reader.close()
            self.do(self.conn.close())
            self.loop.close()

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def tried(self, work: Any) -> bool:
        """Whether an operator's act was taken; one that was refused changes nothing in the model either."""
        try:
            self.do(work)
        except QibaiError as error:
            assert error.code in ("step_refused", "sub_lease_refused", "resource_not_found"), error
            return False
        return True

    def paper(self, name: str, kind: str) -> str:
        return f"{kind}-{name}-{self.holders[name].papers}"

    @rule(name=names, granted=st.booleans())
    def apply(self, name: str, granted: bool) -> None:
        id = self.do(resources.draft(self.conn, name, "initial", at=self.now))
        self.do(resources.move(self.conn, id, ApplicationState.SUBMITTED, at=self.now))
        if granted:
            holder = self.holders[name]
            holder.applied_at = min(holder.applied_at or self.now, self.now)
        else:
            self.do(resources.move(self.conn, id, ApplicationState.REFUSED, at=self.now, reason="no"))

    @rule(name=names, days=st.integers(1, 500))
    def grant(self, name: str, days: int) -> None:
        holder = self.holders[name]
        holder.papers += 1
        span = (self.now.date(), (self.now + days * DAY).date())
        for kind in ("approval", "certificate"):
            paper = Paper(self.paper(name, kind), PROVINCES, *span)
            self.do(resources.add_paper(self.conn, kind, name, paper))  # type: ignore[arg-type]
        holder.approval, holder.revoked_at, holder.exit_at = span, None, None
        for code, held in self.held.items():
            if held.holder == name and held.state is not CodeState.RETURNED:
                assert self.tried(self.assigning(code, name))
        holder.certificate = span

    def assigning(self, code: Code, name: str) -> Any:
        return resources.assign(
            self.conn, [code], self.paper(name, "certificate"), now=self.now, quarantine=REST
        )

    @rule(name=names, exits=st.booleans(), ahead=st.integers(0, 3))
    def end_papers(self, name: str, exits: bool, ahead: int) -> None:
        at = self.now + ahead * DAY
        number = self.paper(name, "approval")
        if exits:
            if self.tried(resources.leave_early(self.conn, number, at=at)):
                self.holders[name].exit_at = at
        elif self.tried(resources.revoke(self.conn, "approval", number, at=at, why="fraud")):
            self.holders[name].revoked_at = at

    @rule(code=codes, name=names)
    def assign(self, code: Code, name: str) -> None:
        held = self.held[code]
        resting = held.returned_at is not None and self.now < held.returned_at + REST
        others = held.state is not CodeState.RETURNED and held.holder not in (None, name)
        wanted = bool(self.holders[name].papers) and not resting and not others
        assert self.tried(self.assigning(code, name)) == wanted
        if wanted:
            held.holder, held.returned_at = name, None
            if held.state in (None, CodeState.RETURNED):
                held.state = CodeState.ASSIGNED

    def granted(self, name: str, kind: str, outcome: Outcome) -> bool:
        """Whether an application of this kind was granted with this outcome."""
        id = self.do(resources.draft(self.conn, name, kind, at=self.now))
        for state in (ApplicationState.SUBMITTED, ApplicationState.ACCEPTED):
            self.do(resources.move(self.conn, id, state, at=self.now))
        return self.tried(resources.grant(self.conn, id, outcome, Terms(self.now, REST)))

    @rule(code=codes, name=names)
    def supplement(self, code: Code, name: str) -> None:
        if not self.holders[name].papers:
            return
        held = self.held[code]
        resting = held.returned_at is not None and self.now < held.returned_at + REST
        others = held.state is not CodeState.RETURNED and held.holder not in (None, name)
        outcome = Outcome(certificate=self.paper(name, "certificate"), codes=[code])
        assert self.granted(name, "supplement", outcome) == (not resting and not others)
        if not resting and not others:
            held.holder, held.returned_at = name, None
            if held.state in (None, CodeState.RETURNED):
                held.state = CodeState.ASSIGNED

    @rule(code=codes, name=names)
    def give_back_by_application(self, code: Code, name: str) -> None:
        held = self.held[code]
        assert self.granted(name, "return", Outcome(codes=[code])) == (held.holder == name)
        if held.holder == name and held.state in (CodeState.OPENED, CodeState.IN_USE):
            held.state = CodeState.DRAINING

    @rule(name=names)
    def leave_by_application(self, name: str) -> None:
        if self.granted(name, "early_exit", Outcome()):
            self.holders[name].exit_at = self.now
            for held in self.held.values():
                if held.holder == name and held.state in (CodeState.OPENED, CodeState.IN_USE):
                    held.state = CodeState.DRAINING

    @rule(code=codes, name=names)
    def give(self, code: Code, name: str) -> None:
        held = self.held[code]
        wanted = held.holder == name and held.state in (
            CodeState.ASSIGNED,
            CodeState.OPENED,
            CodeState.IN_USE,
        )
        assert self.tried(resources.give(self.conn, [code], f"{name}-shop", now=self.now)) == wanted
        if wanted:
            held.tenant = name
            if held.state is CodeState.OPENED:
                held.state = CodeState.IN_USE

    @rule(code=codes, province=st.sampled_from(PROVINCES), opens=st.booleans())
    def open_or_close(self, code: Code, province: Any, opens: bool) -> None:
        held = self.held[code]
        if not opens:
            if self.tried(resources.close(self.conn, [code], [province])):
                held.provinces.discard(province.code)
        elif self.tried(resources.open_(self.conn, [code], [province])):
            assert held.state in (CodeState.ASSIGNED, CodeState.OPENED, CodeState.IN_USE)
            held.provinces.add(province.code)
            held.state = CodeState.IN_USE if held.tenant else CodeState.OPENED

    @rule(code=codes)
    def drain(self, code: Code) -> None:
        if self.tried(resources.drain(self.conn, [code])):
            assert self.held[code].state in (CodeState.OPENED, CodeState.IN_USE)
            self.held[code].state = CodeState.DRAINING

    @rule(code=codes)
    def resume(self, code: Code) -> None:
        if self.tried(resources.resume(self.conn, [code])):
            assert self.held[code].state is CodeState.DRAINING
            self.held[code].state = CodeState.IN_USE

    @rule(code=codes)
    def give_back(self, code: Code) -> None:
        held = self.held[code]
        wanted = held.state in (CodeState.ASSIGNED, CodeState.DRAINING) and self.now >= held.free_from
        assert self.tried(resources.return_(self.conn, [code], now=self.now)) == wanted
        if wanted:
            held.state, held.returned_at, held.tenant = CodeState.RETURNED, self.now, None
            held.provinces = set()

    @rule(code=codes, aside=st.booleans())
    def set_aside(self, code: Code, aside: bool) -> None:
        act = (
            resources.set_aside(self.conn, [code], "test") if aside else resources.restore(self.conn, [code])
        )
        if self.do(act):
            self.held[code].aside = aside

    @rule(code=codes, locks=st.booleans())
    def lock(self, code: Code, locks: bool) -> None:
        number = code.number(SERIAL)
        if locks:
            self.do(resources.lock(self.conn, number, why="test", at=self.now, stops_calls=False))
            self.held[code].locked = True
        elif self.tried(resources.unlock(self.conn, number)):
            self.held[code].locked = False

    @rule(code=codes)
    def release(self, code: Code) -> None:
        held = self.held[code]
        if held.binding is not None and self.now < held.bound_until:
            self.end(held.binding, DAY)
            held.bound_until, held.free_from = self.now, self.now + DAY

    @rule(hours=st.integers(1, 60))
    def hours_pass(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(days=st.integers(1, 200))
    def days_pass(self, days: int) -> None:
        self.now += days * DAY

    def entitled(self, name: str, code: Code) -> bool:
        """By the model: may this enterprise bind a number of this code now?"""
        held, holder = self.held[code], self.holders[name]
        formal = self.now >= datetime(2026, 1, 14, 16, tzinfo=UTC)  # midnight in Beijing
        opened = self.now >= datetime(2025, 10, 14, 16, tzinfo=UTC)
        over = self.now >= datetime(2028, 1, 14, 16, tzinfo=UTC)
        if not opened or over or held.tenant != name or held.holder != name:
            return False
        if held.state is not CodeState.IN_USE or held.aside or not held.provinces:
            return False
        if holder.revoked_at is not None and self.now >= holder.revoked_at:
            return False
        if holder.exit_at is not None and self.now >= holder.exit_at:
            return False
        today = (self.now + timedelta(hours=8)).date()
        if not formal and (holder.applied_at is None or holder.applied_at > self.now):
            return False
        if formal and not (holder.approval and holder.approval[0] <= today <= holder.approval[1]):
            return False
        return bool(holder.certificate and holder.certificate[0] <= today <= holder.certificate[1])

    @invariant()
    def binds_happen_just_where_the_model_says(self) -> None:
        if not hasattr(self, "reader"):
            return
        for name, enterprise in self.enterprises.items():
            for code, held in self.held.items():
                may = self.entitled(name, code) and not held.locked
                self.try_strangers(enterprise, code, may)
                self.try_the_same_parties(enterprise, held, code, may and self.now >= held.free_from)

    def try_strangers(self, enterprise: Enterprise, code: Code, may: bool) -> None:
        """Parties that nobody else has: only rights can stand against them. Nothing is left of it."""
        one = item(
            next(self.people), next(self.people), expected=code.number(SERIAL), expires_at=self.now + DAY
        )
        (answer,) = self.do(self.binding(enterprise, one, timedelta()))
        assert isinstance(answer, Bound) == may, (answer, self.held[code], self.holders[enterprise.name])
        if may:
            self.end(answer.binding, timedelta())

    def try_the_same_parties(self, enterprise: Enterprise, held: Held, code: Code, may: bool) -> None:
        """Bound or in quarantine they cannot be bound again, whoever holds the code by now."""
        one = item(1, 2, expected=code.number(SERIAL), expires_at=self.now + DAY)
        (answer,) = self.do(self.binding(enterprise, one, timedelta(hours=1)))
        assert isinstance(answer, Bound) == may, (answer, held)
        if may:
            held.binding = answer.binding
            held.bound_until = self.now + DAY
            held.free_from = self.now + DAY + timedelta(hours=1)

    def binding(self, who: Enterprise, one: Any, quarantine: timedelta) -> Any:
        rights = who.entitlement
        return bind_many(
            self.conn, self.keyring, who.tenant_id, rights, [one], now=self.now, quarantine=quarantine
        )

    def end(self, one: Any, quarantine: timedelta) -> None:
        work = release(
            self.conn, self.keyring, one.tenant_id, one.code, one.id, now=self.now, quarantine=quarantine
        )
        self.do(work)

    @invariant()
    def calls_reach_only_whom_the_rules_let(self) -> None:
        if not hasattr(self, "reader"):
            return
        for code, held in self.held.items():
            number: Number700 = code.number(SERIAL)
            record = self.reader.find(number, msisdn(1))
            decision = decide(number, msisdn(1), record, self.now.timestamp(), policy=self.policy)
            if not isinstance(decision, Route):
                continue
            assert self.now < held.bound_until
            assert held.binding is not None and decision.record.binding_id == held.binding.id
            name = held.holder
            assert name is not None and held.state is not CodeState.RETURNED
            revoked = self.holders[name].revoked_at
            assert revoked is None or self.now < revoked + GRACE


@pytest.fixture
def machine(dsn: str, keyring: Keyring) -> Iterator[type[Resources]]:
    yield type("Resources", (Resources,), {"shared_dsn": dsn, "keyring": keyring})


def test_nobody_binds_what_is_not_theirs_or_in_quarantine(machine: type[Resources]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )
