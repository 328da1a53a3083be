"""Random lives of bindings against a simple model, with a clock that the test turns."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from binding_tools import HALF_BOUND, HOUR, NOW, STRAY_ROUTES, TENANT, msisdn, value
from qibai.core.binding import Mode, Parties, Scene, Status
from qibai.core.errors import (
    BadRequest,
    BindingEnded,
    GroupSizeWrong,
    ModeMismatch,
    NumberTaken,
    PartyRepeated,
    QibaiError,
)
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.core.routing import Refusal, RefusalReason, Route, decide
from qibai.store.bindings import Binding, BindingEditor, BindItem, Bound, bind_many, get, release_many
from qibai.store.codes import TenantCode
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader

CODE = Code(12345678)
PEOPLE = [msisdn(n) for n in range(6)]
NUMBERS = [CODE.number(n) for n in range(3)]  # few, so that lives meet

people = st.sampled_from(PEOPLE)
lists = st.lists(people, min_size=1, max_size=3, unique=True)


@dataclass(frozen=True)
class Pair:
    """What the model knows of one (number, caller): live until ``ends_at``, free from ``free_at``."""

    binding: int
    ends_at: datetime
    free_at: datetime


@dataclass
class Life:
    """What the model knows of one binding."""

    binding: Binding
    parties: Parties
    expires_at: datetime
    released_at: datetime | None = None

    def status(self, now: datetime) -> Status:
        if self.released_at is not None:
            return Status.RELEASED
        return Status.ACTIVE if now < self.expires_at else Status.EXPIRED

    def pairs(self) -> dict[tuple[Number700, Msisdn], Msisdn]:
        """Who dials what and reaches whom."""
        x, far = self.binding.x, self.binding.far
        near = dict.fromkeys(((x, party) for party in self.parties.near), self.parties.b)
        return near | {(far, self.parties.b): self.parties.near[0]}


class Lives(RuleBasedStateMachine):
    """Bind, release, extend, change, regroup, let time pass; after each step every pair is looked up."""

    shared_dsn: str
    keyring: Keyring

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        dsn = self.shared_dsn
        self.conn = self.do(psycopg.AsyncConnection.connect(dsn, autocommit=True))
        self.do(self.conn.execute("TRUNCATE binding, route, idempotency"))
        self.reader = RouteReader(dsn, self.keyring)
        self.now = NOW
        self.lives: list[Life] = []
        self.pairs: dict[tuple[Number700, Msisdn], Pair] = {}

    def teardown(self) -> None:
        if hasattr(self, "reader"):
            self.reader.close()
            self.do(self.conn.close())
            self.loop.close()

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def taken(self, numbers: set[Number700], who: set[Msisdn], but: int = -1) -> bool:
        found = (self.pairs.get((number, party)) for number in numbers for party in who)
        return any(pair is not None and pair.free_at > self.now and pair.binding != but for pair in found)

    def occupy(self, index: int) -> None:
        """The model's pairs of a binding are as its parties and life are."""
        life = self.lives[index]
        wanted = life.pairs()
        for key, pair in self.pairs.items():
            if pair.binding == index and key not in wanted and pair.ends_at > self.now:
                self.pairs[key] = Pair(index, self.now, self.now + HOUR)
        for key in wanted:
            self.pairs[key] = Pair(index, life.expires_at, life.expires_at + HOUR)

    @rule(
        mode=st.sampled_from(Mode),
        near=lists,
        b=people,
        number=st.sampled_from(NUMBERS),
        hours=st.integers(1, 4),
    )
    def bind(self, mode: Mode, near: list[Msisdn], b: Msisdn, number: Number700, hours: int) -> None:
        try:
            parties = Parties.of(
                mode, a=None if mode.is_group else near[0], members=near if mode.is_group else (), b=b
            )
        except PartyRepeated:
            return
        item = BindItem(
            parties=parties,
            scene=Scene.RIDE,
            order_id="o",
            max_call_s=60,
            expected=number,
            expires_at=self.now + hours * HOUR,
        )
        codes = [TenantCode(CODE.value, None, True)]
        (answer,) = self.do(
            bind_many(self.conn, self.keyring, TENANT, codes, [item], now=self.now, quarantine=HOUR)
        )
        who = {*parties.near, b}
        if self.taken({number}, who):
            assert isinstance(answer, NumberTaken)
            return
        assert isinstance(answer, Bound)
        made = answer.binding
        assert made.x == number
        assert not self.taken({made.x, made.far}, who)
        self.lives.append(Life(made, parties, item.expires_at))
        self.occupy(len(self.lives) - 1)

    @rule(data=st.data())
    def release_some(self, data: st.DataObject) -> None:
        if not self.lives:
            return
        chosen = data.draw(st.lists(st.integers(0, len(self.lives) - 1), min_size=1, max_size=3))
        ids = [(self.lives[i].binding.code, self.lives[i].binding.id) for i in chosen]
        before = [self.lives[i].status(self.now) for i in chosen]
        results = self.do(release_many(self.conn, self.keyring, TENANT, ids, now=self.now, quarantine=HOUR))
        for index, status, result in zip(chosen, before, results, strict=True):
            life = self.lives[index]
            if status is Status.ACTIVE and life.released_at is None:
                life.released_at = self.now
                for key in life.pairs():
                    self.pairs[key] = Pair(index, self.now, self.now + HOUR)
            assert result.status is life.status(self.now)
            assert result.ended_at == (life.released_at or life.expires_at)

    @rule(data=st.data(), hours=st.integers(1, 5))
    def extend(self, data: st.DataObject, hours: int) -> None:
        self.edit(data, expires_at=self.now + hours * HOUR)

    @rule(data=st.data(), a=st.none() | people, b=st.none() | people)
    def change(self, data: st.DataObject, a: Msisdn | None, b: Msisdn | None) -> None:
        self.edit(data, a=a, b=b)

    @rule(data=st.data(), joining=lists)
    def join(self, data: st.DataObject, joining: list[Msisdn]) -> None:
        self.edit(data, joining=joining)

    @rule(data=st.data(), leaving=lists)
    def leave(self, data: st.DataObject, leaving: list[Msisdn]) -> None:
        self.edit(data, leaving=leaving)

    def edit(self, data: st.DataObject, **change: Any) -> None:
        """One change of a binding, in the database and in the model, with the same outcome."""
        if not self.lives:
            return
        index = data.draw(st.integers(0, len(self.lives) - 1))
        life = self.lives[index]
        editor = BindingEditor(self.conn, self.keyring, TENANT, now=self.now, quarantine=HOUR)
        code, id = life.binding.code, life.binding.id
        if "expires_at" in change:
            work = editor.extend(code, id, change["expires_at"])
        elif "joining" in change:
            work = editor.add_members(code, id, change["joining"])
        elif "leaving" in change:
            work = editor.remove_members(code, id, change["leaving"])
        else:
            work = editor.change_party(code, id, **change)
        expected = self.after(index, change)
        try:
            self.do(work)
        except QibaiError as error:
            assert type(error) is expected, (error, expected)
            return
        assert isinstance(expected, Life), expected
        self.lives[index] = expected
        self.occupy(index)

    def after(self, index: int, change: dict[str, Any]) -> Life | type[QibaiError]:
        """The model's answer to a change."""
        life = self.lives[index]
        old = life.parties
        if life.status(self.now) is not Status.ACTIVE:
            return BindingEnded
        if "expires_at" in change:
            return replace(life, expires_at=change["expires_at"])
        members = list(old.members)
        if "joining" in change or "leaving" in change:
            if not old.mode.is_group:
                return ModeMismatch
            for party in change.get("leaving", ()):
                if party not in members:
                    return BadRequest
                members.remove(party)
            members += change.get("joining", ())
            if not members:
                return GroupSizeWrong
        try:
            new = Parties.of(
                old.mode, a=change.get("a") or old.a, members=members, b=change.get("b") or old.b
            )
        except QibaiError as error:
            return type(error)
        newcomers = {*new.near, new.b} - {*old.near, old.b}
        fresh = {key for key in Life(life.binding, new, NOW).pairs() if key not in life.pairs()}
        if self.taken({life.binding.x, life.binding.far}, newcomers, index) or any(
            self.taken({number}, {party}, index) for number, party in fresh
        ):
            return NumberTaken
        return replace(life, parties=new)

    @rule(minutes=st.integers(1, 300))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(data=st.data())
    def time_passes_to_an_end(self, data: st.DataObject) -> None:
        """The instants at which something ends or becomes free are the ones that go wrong."""
        edges = {edge for pair in self.pairs.values() for edge in (pair.ends_at, pair.free_at)}
        coming = sorted(edge for edge in edges if edge > self.now)
        if coming:
            self.now = data.draw(st.sampled_from(coming[:3]))

    @invariant()
    def calls_go_where_the_model_says(self) -> None:
        if not hasattr(self, "reader"):
            return
        numbers = {number for number, _ in self.pairs} | set(NUMBERS)
        for number in numbers:
            live = {key[1]: pair for key, pair in self.pairs.items() if key[0] == number}
            in_use = any(pair.ends_at > self.now for pair in live.values())
            assert self.reader.number_in_use(number, self.now.timestamp()) == in_use
            for party in PEOPLE:
                self.check_call(number, party, live.get(party), in_use)

    def check_call(self, number: Number700, party: Msisdn, pair: Pair | None, in_use: bool) -> None:
        record = self.reader.find(number, party)
        decision = decide(number, party, record, self.now.timestamp(), number_in_use=in_use)
        stranger = Refusal(RefusalReason.NOT_A_PARTY if in_use else RefusalReason.NOT_BOUND)
        if pair is None:
            assert decision == stranger
        elif pair.free_at <= self.now:  # a bind that failed may have taken the row over, and given it up
            assert decision in (Refusal(RefusalReason.ORDER_ENDED), stranger)
        elif pair.ends_at <= self.now:
            assert decision == Refusal(RefusalReason.ORDER_ENDED)
        else:
            assert isinstance(decision, Route)
            life = self.lives[pair.binding]
            callee = self.reader.open_callee(decision.record)
            expected = life.pairs()[number, party]
            if decision.record.to_group:
                assert callee in life.parties.near
            else:
                assert callee == expected
            assert decision.record.binding_id == life.binding.id

    @invariant()
    def bindings_are_whole_and_as_the_model_has_them(self) -> None:
        if not hasattr(self, "reader"):
            return
        for life in self.lives[-3:]:
            stored = self.do(get(self.conn, self.keyring, TENANT, life.binding.code, life.binding.id))
            assert (stored.parties, stored.expires_at) == (life.parties, life.expires_at)
            assert stored.status(self.now) is life.status(self.now)
        assert self.do(value(self.conn, HALF_BOUND, self.now)) == 0
        assert self.do(value(self.conn, STRAY_ROUTES)) == 0


@pytest.fixture
def machine(dsn: str, keyring: Keyring) -> Iterator[type[Lives]]:
    yield type("Lives", (Lives,), {"shared_dsn": dsn, "keyring": keyring})


def test_bindings_live_as_the_model_says(machine: type[Lives]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
