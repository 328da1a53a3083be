"""Whole calls of every kind at once, and what must hold after each, whatever happened in it."""

import contextlib
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from call_plans import KNOWN, Plan, PlannedLine, draw
from qibai.config import Peer
from qibai.core.bencode import decode, encode
from qibai.core.numbering import Msisdn, Number700
from qibai.testing.platform import free_port
from recorder_tools import RecorderProcess, wait_for
from sip_callee import Callee
from sip_caller import Caller
from voice_tools import CALLEE_AT, CALLER_AT, DEAD_AT, Bench, bench

pytestmark = pytest.mark.voice
CALLS = int(os.environ.get("TEST_WHOLE_CALLS", "80"))
SEED = int(os.environ.get("TEST_WHOLE_CALLS_SEED", "700"))
_AT_ONCE = 80
_SETTLED_S = 45
_APART_S = 0.08


def _peers(port: int) -> list[Peer]:
    return [
        Peer(name="west", host=CALLEE_AT, port=port),
        Peer(name="next", host=DEAD_AT, port=port, priority=5),
        Peer(name="east", host=CALLER_AT, priority=-1),
    ]


@dataclass
class _World:
    bench: Bench
    callees: list[Callee]

    def records(self) -> dict[int, list[tuple[Any, ...]]]:
        """All calls' records, by the called number's serial: reason, who ended it, times in order."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        query = "SELECT called, reason, ended_by, started_at, ringing_at, answered_at, ended_at FROM call"
        with psycopg.connect(self.bench.dsn) as conn:
            for called, *record in conn.execute(query).fetchall():
                found.setdefault(called, []).append(tuple(record))
        return found

    def media_calls(self) -> list[bytes]:
        """What rtpengine still knows."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
            ask.settimeout(1)
            ask.connect(("127.0.0.1", self.bench.platform.config.voice.media_ng_port))
            ask.send(secrets.token_hex(4).encode() + b" " + encode({b"command": b"list"}))
            found: Any = decode(ask.recv(65_535).partition(b" ")[2])
        return list(found[b"calls"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[_World]:
    with bench(tmp_path_factory.mktemp("whole"), database, _peers, ring_timeout_s=4) as made:
        config = made.platform.config
        callees = [Callee((at, made.callee[1]), made.here, i) for i, at in enumerate((CALLEE_AT, DEAD_AT))]
        env = {"QIBAI_NODE": "test", "QIBAI_VOICE_MEDIA": "true", "QIBAI_STORE_DSN": config.store.dsn}
        with RecorderProcess(config.home, **env):
            for callee in callees:
                callee.start()
            try:
                yield _World(made, callees)
            finally:
                for callee in callees:
                    callee.stop()


class _Call:
    """One call by a plan, and how it stands."""

    def __init__(self, world: _World, plan: Plan, index: int) -> None:
        self.world, self.plan = world, plan
        self.a, self.b = Msisdn(f"+8613{index:09d}"), Msisdn(f"+8615{index:09d}")
        self.x: Number700 = world.bench.number()
        world.bench.bind(self.x, self.a, self.b)
        for callee in world.callees:
            callee.plans[self.b.national] = plan
        self.caller = Caller((CALLER_AT, free_port(CALLER_AT)), world.bench.here, plan)

    def lines(self) -> list[PlannedLine]:
        """All lines of the call that went off-hook."""
        known = [line for agent in (*self.world.callees, self.caller) for line in list(agent.lines.values())]
        return [line for line in known if line.plan is self.plan and line.off_hook]

    def what_is_open(self, records: list[Any]) -> list[str]:
        """What has still to come; nothing in the end."""
        found = [] if self.caller.final else ["the caller waits for an answer"]
        for line in self.lines():
            if not line.acknowledged:
                found.append(f"no ACK: {line.own}")
            if not line.closed:
                found.append(f"off-hook: {line.own}")
        if [record[-1] is None for record in records] != [False]:
            found.append(f"records: {records}")
        return found

    def what_is_wrong(self, record: tuple[Any, ...]) -> list[str]:
        """What should not have been, now that all is over."""
        found = [*self.caller.faults]
        reason, ended_by, *times = record
        if reason not in self.plan.reasons:
            found.append(f"reason {reason}, not {self.plan.reasons}")
        if self.plan.ended_by is not None and ended_by != self.plan.ended_by:
            found.append(f"ended by {ended_by}, not {self.plan.ended_by}")
        known = [at for at in times if at is not None]
        if known != sorted(known):
            found.append(f"times out of order: {times}")
        talked = any(line.off_hook for line in self.caller.lines.values())
        if (times[2] is not None) != talked or (reason == "answered") != talked:
            found.append(f"the caller {'got an answer' if talked else 'got none'}: {record}")
        first = min((line.off_hook for line in self.lines()), default=None)
        rung = [callee.rung.get(self.b.national, 0) for callee in self.world.callees]
        if first is not None and max(rung) > first:
            found.append("a second callee was rung after an answer")
        if any(self.b.national.encode() in data for data in self.caller.got):
            found.append("the caller was shown B's number")
        if any(self.a.national.encode() in data for callee in self.world.callees for data in callee.got):
            found.append("a callee was shown A's number")
        return found


@pytest.mark.timeout(60 + 60 * (CALLS // _AT_ONCE + 1))
def test_every_call_comes_to_its_end(world: _World) -> None:
    source = random.Random(SEED)
    plans = [*KNOWN, *(draw(source) for _ in range(CALLS - len(KNOWN)))]
    for start in range(0, CALLS, _AT_ONCE):
        _run(world, plans[start : start + _AT_ONCE], start)


def _open(world: _World, calls: list[_Call]) -> list[list[str]]:
    records = world.records()
    return [call.what_is_open(records.get(call.x.serial, [])) for call in calls]


def _run(world: _World, plans: list[Plan], start: int) -> None:
    calls = [_Call(world, plan, start + index) for index, plan in enumerate(plans, 1)]
    try:
        for call in calls:
            call.caller.call(call.a.national, str(call.x))
            time.sleep(_APART_S)  # a load, not a burst: rtpengine that is late counts as away
        with contextlib.suppress(AssertionError):  # what is still open then is said below
            wait_for(lambda: not any(_open(world, calls)), _SETTLED_S)
        open_ = _open(world, calls)
        records = world.records()
        told = [
            f"{call.plan}: {still or call.what_is_wrong(records[call.x.serial][0])}"
            for call, still in zip(calls, open_, strict=True)
            if still or call.what_is_wrong(records[call.x.serial][0])
        ]
        assert not told, "\n".join(told)
        wait_for(lambda: not world.media_calls())
        assert not [fault for callee in world.callees for fault in callee.faults]
    finally:
        for call in calls:
            call.caller.stop()
