"""Kill -9 of each process in turn under calls: exactly one record a call, and the platform mends itself."""

import os
import re
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from cli_tools import Cli
from up_tools import platform_with_peers, tenant_key

from qibai.client import BindRequest, Client
from qibai.store import dsn
from qibai.store.keys import Keyring, binding_aad
from qibai.testing.platform import free_port, listening, wait_for
from voice_tools import CALLEE_AT, CALLER_AT, HERE

pytestmark = pytest.mark.voice

SCENARIOS = Path(__file__).parent / "scenarios"
CALLS = 1_500
RATE = 20
KILLED = ("recorder", "api", "kamailio", "rtpengine", "postgres")


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    settings = {
        "QIBAI_VOICE_RING_TIMEOUT_S": "5",
        "QIBAI_VOICE_MEDIA_TIMEOUT_S": "8",
        "QIBAI_VOICE_HOST": HERE,  # an address of its own, all of whose ports are for media
        "QIBAI_VOICE_MEDIA_PORT_MIN": "30000",
        "QIBAI_VOICE_MEDIA_PORT_MAX": "39999",
    }
    with platform_with_peers(tmp_path, **settings) as made:
        yield made


@dataclass(frozen=True)
class Bound:
    """The middle number and the callee."""

    x: str
    callee: str


class Record(NamedTuple):
    sip_status: int | None
    answered: bool
    lost: bool
    end_seen: bool | None


def bind_all(cli: Cli) -> dict[str, Bound]:
    """A binding for each call, by its caller."""
    bearer = tenant_key(cli)
    items = [
        BindRequest(mode="AXB", a=f"+86138{n:08d}", b=f"+86139{n:08d}", order_id=f"o{n}")
        for n in range(CALLS)
    ]
    bound = {}
    with Client(f"http://127.0.0.1:{cli.config.api.port}", bearer) as client:
        for item, result in zip(items, client.bind_many(items), strict=True):
            assert result.binding is not None and item.a is not None
            bound[item.a] = Bound(result.binding.x, item.b)
    return bound


def call_ids(messages: list[str], start: str, method: str = "") -> dict[str, set[str]]:
    """By real number, the calls that a message of this kind is about."""
    found: dict[str, set[str]] = defaultdict(set)
    for text in messages:
        if text.startswith(start) and re.search(rf"^CSeq: \d+ {method}", text, re.MULTILINE):
            number = re.search(r"\+861[0-9]{10}", text)
            call_id = re.search(r"^Call-ID: (\S+)", text, re.MULTILINE)
            if number and call_id:
                found[number[0]].add(call_id[1])
    return found


class Traffic:
    """Callers and callees, each a SIPp with many calls."""

    def __init__(self, cli: Cli, folder: Path, bound: dict[str, Bound]) -> None:
        voice = cli.config.voice
        self._folder = folder
        pairs = folder / "pairs.csv"
        pairs.write_text("SEQUENTIAL\n" + "".join(f"{one.x};{a}\n" for a, one in bound.items()))
        port = voice.peers[0].port
        callees = ["-i", CALLEE_AT, "-p", str(port)]
        self.callees = self._sipp("uas", callees)
        wait_for(lambda: listening((CALLEE_AT, port)), "the callees")
        callers = [f"{voice.host}:{voice.udp_port}", "-i", CALLER_AT, "-p", str(free_port(CALLER_AT))]
        callers += ["-inf", str(pairs), "-m", str(len(bound)), "-r", str(RATE), "-recv_timeout", "15000"]
        self.callers = self._sipp("uac", callers)

    def _sipp(self, name: str, more: list[str]) -> "subprocess.Popen[bytes]":
        command = ["sipp", "-sf", str(SCENARIOS / f"crash_{name}.xml"), "-nostdin", "-nd", *more]
        command += ["-trace_msg", "-message_file", str(self._folder / f"{name}.messages")]
        command += ["-timeout", "240"]
        with (self._folder / f"{name}.out").open("wb") as out:
            return subprocess.Popen(
                command, stdout=out, stderr=out, cwd=self._folder, env={**os.environ, "TERM": "dumb"}
            )

    def finish(self) -> None:
        """No new calls; return when those that run are over."""
        self.callers.send_signal(signal.SIGUSR1)
        self.callers.wait(120)

    def stop(self) -> None:
        for process in (self.callers, self.callees):
            if process.poll() is None:
                process.kill()
            process.wait()

    def messages(self, name: str) -> list[str]:
        """What one side received, by now."""
        path = self._folder / f"{name}.messages"
        text = path.read_text("utf-8", "replace") if path.exists() else ""
        parts = re.split(r"^-{20,}.*\n", text, flags=re.MULTILINE)
        return [part.partition("\n\n")[2] for part in parts if re.match(r"\S+ message received", part)]


@contextmanager
def traffic(cli: Cli, folder: Path, bound: dict[str, Bound]) -> Iterator[Traffic]:
    made = Traffic(cli, folder, bound)
    try:
        yield made
    finally:
        made.stop()


def test_each_call_has_one_record_whatever_dies(cli: Cli, tmp_path: Path) -> None:
    """Callers dial all the time; an answered call can be ended by its parties, whatever was killed."""
    cli.start()
    bound = bind_all(cli)
    with traffic(cli, tmp_path, bound) as calls:
        for name in KILLED:
            wait_for_answers(calls, f"before {name} is killed")
            os.kill(cli.parts()[name]["pid"], signal.SIGKILL)
            wait_for(lambda name=name: cli.parts()[name]["restarts"] > 0, f"{name} was restarted", 30)
            wait_for(cli.all_ready, f"all is ready after {name} was killed", 60)
        wait_for_answers(calls, "after the last crash")
        calls.finish()
        callers, callees = calls.messages("uac"), calls.messages("uas")
    records = all_records(cli)

    made, answered = call_ids(callees, "INVITE "), call_ids(callers, "SIP/2.0 200 ", "INVITE")
    refused, over = call_ids(callers, "SIP/2.0 503 ", "INVITE"), call_ids(callees, "BYE ")
    for number, binding in bound.items():
        found = records[number]
        turned_away = [one for one in found if one.sip_status == 503]
        connected = [one for one in found if one.sip_status != 503]
        unseen = [one for one in connected if one.lost]
        assert len(turned_away) == len(refused[number]), (number, found)
        # Killed between the record and the message, Kamailio leaves a record of a call that nobody saw; one
        # whose callee was asked, but not heard in time, is turned away.
        assert len(made[binding.callee]) <= len(found), (number, found)
        assert len(connected) - len(made[binding.callee]) <= len(unseen), (number, found)
        if answered[number]:
            assert [one.answered and one.end_seen for one in connected if one not in unseen] == [True]
            assert over[binding.callee], f"the callee of {number} was never told that the call is over"
    assert sum(map(len, answered.values())) > 5 * RATE


def wait_for_answers(calls: Traffic, when: str) -> None:
    """A second's worth of calls more is answered."""
    before = len(call_ids(calls.messages("uac"), "SIP/2.0 200 ", "INVITE"))
    wait_for(
        lambda: len(call_ids(calls.messages("uac"), "SIP/2.0 200 ", "INVITE")) >= before + RATE,
        f"calls {when}",
        30,
    )


def all_records(cli: Cli) -> dict[str, list[Record]]:
    """The records by caller, when no answered call is open any more.

    A call whose answer nobody saw is closed as lost a minute later; the test does not wait for that.
    """
    keyring = Keyring.load(cli.config.key_file)
    with psycopg.connect(dsn(cli.config), autocommit=True) as conn:
        running = "SELECT count(*) FROM call WHERE ended_at IS NULL AND answered_at IS NOT NULL"
        wait_for(lambda: conn.execute(running).fetchone() == (0,), "the end of every call", 60)
        found = defaultdict(list)
        for code, id, caller, *row in conn.execute(
            "SELECT code, coalesce(binding_id, id), caller, sip_status, answered_at IS NOT NULL, "
            "ended_at IS NULL OR reason = 'lost', end_seen FROM call"
        ):
            found[keyring.open(caller, binding_aad(code, id))].append(Record(*row))
        return found
