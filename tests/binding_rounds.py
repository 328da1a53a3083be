"""Rounds of a crowd's requests; after each, the store is held against what bindings and answers say."""

import asyncio
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg

from binding_crowd import PEOPLE, Book, Client
from binding_watch import ORPHANS, Watch, breaches
from linear import Seen, last_states
from qibai.config import RetentionConfig
from qibai.core.binding import Status
from qibai.core.ids import parse_id
from qibai.core.numbering import Msisdn, Number700
from qibai.core.routing import Route, decide
from qibai.store.bindings import Binding, get_many
from qibai.store.keys import Keyring, binding_aad
from qibai.store.routes import RouteReader
from qibai.store.sweep import sweep

Pair = tuple[Number700, Msisdn]


class Sweep(threading.Thread):
    """Sweeps without pause; a context that ends it."""

    def __init__(self, dsn: str) -> None:
        super().__init__(name="sweeps", daemon=True)
        self._dsn = dsn
        self._over = threading.Event()
        self.swept = 0
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.wait(0.1):
                found = sweep(self._dsn, RetentionConfig(), pause_s=0, stop=self._over.is_set)
                self.swept += found.rows["route"]
        except BaseException as exc:
            self.failed = exc

    def __enter__(self) -> "Sweep":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.join()


def run(
    dsn: str,
    keyring: Keyring,
    tenant_id: int,
    book: Book,
    crowd: Sequence[Client],
    *,
    acts: int,
    acts_a_round: int,
    quarantine: timedelta,
) -> None:
    """At least ``acts`` acts of the crowd. Raise AssertionError at the first round that leaves a fault."""
    check = _Check(dsn, keyring, tenant_id, book, quarantine)
    each = acts_a_round // len(crowd)
    done = 0
    with check, Watch(dsn) as watch, Sweep(dsn) as sweeps, ThreadPoolExecutor(len(crowd)) as threads:
        while done < acts:
            for work in [threads.submit(_acts, client, each) for client in crowd]:
                work.result()
            done += each * len(crowd)
            assert watch.failed is None, watch.failed
            assert sweeps.failed is None, sweeps.failed
            check.round()
            assert watch.most == 0, "pairs connected although their binding was over"
    assert watch.looks > 0
    assert sweeps.swept > 0, "the sweep had something to tidy"


def _acts(client: Client, count: int) -> None:
    for _ in range(count):
        client.act()


class _Check:
    def __init__(self, dsn: str, keyring: Keyring, tenant_id: int, book: Book, quarantine: timedelta) -> None:
        self._dsn, self._keyring, self._tenant_id = dsn, keyring, tenant_id
        self._book, self._quarantine = book, quarantine
        self._rng = random.Random(len(PEOPLE))
        self._reader = RouteReader(dsn, keyring)
        self._conn = psycopg.connect(dsn, autocommit=True)

    def __enter__(self) -> "_Check":
        return self

    def __exit__(self, *exc: object) -> None:
        self._reader.close()
        self._conn.close()

    def round(self) -> None:
        """Everything that must hold while nobody asks for anything."""
        book = self._book
        assert not book.faults, book.faults
        found = self._read(sorted({*book.made, *book.history}))
        self._answers_follow_from_each_other(found)
        self._routes_are_what_bindings_say(found)
        self._calls_go_where_bindings_say(found)
        assert breaches(self._conn) == []
        orphans = self._conn.execute(ORPHANS).fetchone()
        assert orphans == (0,)
        book.history.clear()
        at = self._clock()
        for id, binding in found.items():
            if binding.status(at) is not Status.ACTIVE and id not in book.recent:
                del book.made[id]

    def _read(self, ids: Sequence[str]) -> dict[str, Binding]:
        async def get() -> dict[tuple[int, int], Binding]:
            async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as conn:
                return await get_many(conn, self._keyring, self._tenant_id, keys)

        keys = [key for id in ids if (key := parse_id("b", id)) is not None]
        found = asyncio.run(get())
        assert found.keys() == set(keys), "a binding that was acknowledged is not there"
        return {id: found[key] for id, key in zip(ids, keys, strict=True)}

    def _answers_follow_from_each_other(self, found: dict[str, Binding]) -> None:
        for id, binding in found.items():
            history = self._book.history.get(id, [])
            ends = last_states(self._book.made[id], history)
            story = [(one.name, one.asked.time(), one.answered.time()) for one in history]
            assert ends, f"no order of its answers explains {id}, made {self._book.made[id]}: {story}"
            now = _seen(binding)
            assert now in ends, f"{id} is {now}, by its answers {ends}: {story}"
            self._book.made[id] = now

    def _routes_are_what_bindings_say(self, found: dict[str, Binding]) -> None:
        ids = {(one.code, one.id): one for one in found.values()}
        for _ in range(1_000):
            at = self._clock()
            rows = self._conn.execute(
                "SELECT code, binding_id, serial, shown, ends_at, free_at, caller, callee FROM route"
                " WHERE binding_id = ANY (%s)",
                [[id for _, id in ids]],
            ).fetchall()
            if not any(at < one.expires_at <= self._clock() for one in found.values()):
                break  # nothing has expired between the two looks at the clock
        live: dict[tuple[int, int], dict[Pair, tuple[Msisdn, Number700]]] = {key: {} for key in ids}
        for code, id, serial, shown, ends_at, free_at, caller, callee in rows:
            binding = ids[code, id]
            number = binding.x.code.number(serial)
            assert free_at >= ends_at + self._quarantine
            if ends_at > at:
                assert ends_at == binding.expires_at
                reached = self._open(binding, callee)
                live[code, id][number, self._open(binding, caller)] = (
                    reached,
                    binding.x.code.number(shown),
                )
            else:
                assert ends_at <= max(binding.released_at or binding.expires_at, at)
        taken: dict[Pair, tuple[int, int]] = {}
        for key, binding in ids.items():
            wanted = _pairs(binding, at)
            assert live[key].keys() == wanted.keys(), f"{key} ({binding.status(at)}) has other pairs"
            for pair, (reached, shown) in live[key].items():
                assert reached in wanted[pair]
                assert shown == (
                    binding.far if pair[0] == binding.x and len(wanted[pair]) == 1 else binding.x
                )
                assert taken.setdefault(pair, key) == key, "two live bindings have one pair"

    def _calls_go_where_bindings_say(self, found: dict[str, Binding]) -> None:
        """Parties, and on each number a stranger."""
        ways: dict[Pair, list[tuple[Binding, frozenset[Msisdn]]]] = {}
        for one in found.values():
            for pair, reached in _ways(one).items():
                ways.setdefault(pair, []).append((one, reached))
            ways.setdefault((one.x, Msisdn(self._rng.choice(PEOPLE))), [])
        for (number, who), known in ways.items():
            record, in_use, at = self._reader.look(number, who)
            decision = decide(number, who, record, at, number_in_use=in_use)
            moment = datetime.fromtimestamp(at, UTC)
            wanted = {one.id: reached for one, reached in known if one.status(moment) is Status.ACTIVE}
            if isinstance(decision, Route):
                assert decision.record.binding_id in wanted, f"{number} is over for {who.masked}"
                assert self._reader.open_callee(decision.record) in wanted[decision.record.binding_id]
            else:
                assert not wanted, f"{number} does not take {who.masked} to the other party"

    def _open(self, binding: Binding, sealed: bytes) -> Msisdn:
        return Msisdn(self._keyring.open(sealed, binding_aad(binding.code, binding.id)))

    def _clock(self) -> datetime:
        row = self._conn.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        at: datetime = row[0]
        return at


def _pairs(binding: Binding, at: datetime) -> dict[Pair, frozenset[Msisdn]]:
    """Who dials what, and whom they may reach, by a binding at that time."""
    return _ways(binding) if binding.status(at) is Status.ACTIVE else {}


def _ways(binding: Binding) -> dict[Pair, frozenset[Msisdn]]:
    parties = binding.parties
    near = {(binding.x, who): frozenset({parties.b}) for who in parties.near}
    return near | {(binding.far, parties.b): frozenset(parties.near)}


def _seen(binding: Binding) -> Seen:
    parties = binding.parties
    plain = Seen(
        a=None if parties.a is None else parties.a.e164,
        b=parties.b.e164,
        members=tuple(one.e164 for one in parties.members),
        expires_at=binding.expires_at,
    )
    return replace(plain, released_at=binding.released_at)
