"""Calls in all four modes: no packet, log, spool file or database page tells a number where it should not."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from qibai.core.numbering import Msisdn, Number700
from qibai.testing.capture import Capture, Packet
from qibai.testing.leaks import Leak, LeakChecker
from qibai.testing.sipp import Scenario
from voice_tools import CALLEE_AT, CALLER_AT, FROM_GROUP, HERE, TO_GROUP, Bench, answering, bench, calling

pytestmark = pytest.mark.voice

A, B, C = Msisdn("+8615273940618"), Msisdn("+8618640927351"), Msisdn("+8617391058264")
_CALL_ID = re.compile(rb"(?im)^(?:call-id|i)\s*:\s*(\S+)")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("privacy"), database) as made:
        yield made


def what_a_side_saw(packets: list[Packet], address: str) -> list[Packet]:
    """What came to it, and whatever it had to send elsewhere than to the platform."""
    return [p for p in packets if p.dst == address or (p.src == address and p.dst != HERE)]


def leaks_of_call(
    packets: list[Packet], caller: Msisdn, callee: Msisdn, known: list[Number700]
) -> list[Leak]:
    """What either side could learn of the other."""
    leaks = []
    for side, at, own, number, address in (
        ("caller", CALLER_AT, caller, callee, CALLEE_AT),
        ("callee", CALLEE_AT, callee, caller, CALLER_AT),
    ):
        seen = what_a_side_saw(packets, at)
        assert seen, f"nothing was captured at the {side}'s"
        call_ids = {found for packet in seen for found in _CALL_ID.findall(packet.payload)}
        assert call_ids, f"no SIP was captured at the {side}'s"
        knows = [own.e164.encode(), own.national.encode(), at.encode(), *call_ids]
        knows += [str(middle).encode() for middle in known]
        leaks += LeakChecker(
            {"the other's number": number}, {"the other's address": address}, knows
        ).scan_packets(seen, side)
    return leaks


@pytest.mark.parametrize("mode", ["AXB", "AXYB", "GXB", "GXYB"])
def test_nothing_leaks_in_a_call(voice: Bench, tmp_path: Path, mode: str) -> None:
    """Both directions; SIP agents tell their own number in every header and SDP line they can."""
    x = voice.number()
    y = voice.number() if "Y" in mode else x
    group = mode.startswith("G")
    id = voice.bind(x, A, B, y, flags=FROM_GROUP * group)
    if group:
        voice.bind(x, C, B, y, binding_id=id, flags=FROM_GROUP)
    voice.bind(y, B, A, x, binding_id=id, flags=TO_GROUP * group)
    for caller, callee, dialled in ((C if group else A, B, x), (B, C if group else A, y)):
        with Capture(tmp_path / "call.pcap", f"host {CALLER_AT} or host {CALLEE_AT}") as capture:
            voice.call(
                calling(caller, dialled).pause(30).request("BYE").expect(200),
                answering(callee).expect_request("BYE").reply(200),
                parties=(caller, callee),
            )
        assert leaks_of_call(capture.packets, caller, callee, [x, y]) == []
        (tmp_path / "call.pcap").unlink()


def changing(x: Number700, *, by_caller: bool) -> tuple[Scenario, Scenario]:
    """re-INVITE, UPDATE with an offer, INFO, and a REFER that is refused, by one side."""
    caller, callee = calling(A, x), answering(B)
    actor, other = (caller, callee) if by_caller else (callee, caller)
    actor.pause(50).request("INVITE", body=actor.sdp("sendonly")).expect(100, optional=True).expect(200).ack()
    other.expect_request("INVITE").reply(200, sdp=True, direction="recvonly").expect_request("ACK")
    actor.pause(50).request("UPDATE", body=actor.sdp()).expect(200)
    other.expect_request("UPDATE").reply(200, sdp=True)
    actor.request("INFO", body="Signal=5\r\nDuration=160", kind="application/dtmf-relay").expect(200)
    other.expect_request("INFO").reply(200, contact=False)
    refer = (f"Refer-To: <sip:{actor.number}@[local_ip]>",)
    actor.request("REFER", headers=refer).expect(405).request("BYE").expect(200)
    other.expect_request("BYE").reply(200)
    return caller, callee


def cancelled(x: Number700) -> tuple[Scenario, Scenario]:
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(180).cancel(str(x))
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180).expect_request("CANCEL")
    callee.reply(200, contact=False).reply_to_invite(487).expect_request("ACK")
    return caller.expect(200).expect(487).fail_ack(str(x)), callee


def busy(x: Number700) -> tuple[Scenario, Scenario]:
    caller = Scenario(A.national).invite(str(x)).expect(100, optional=True).expect(486).fail_ack(str(x))
    callee = Scenario(B.national).expect_request("INVITE", first=True)
    why = (f'Reason: Q.850;cause=17;text="{B.national}"', f'Warning: 399 {CALLEE_AT} "{B.national}"')
    return caller, callee.reply(486, phrase=f"Busy {B.national}", headers=why).expect_request("ACK")


def early(x: Number700) -> tuple[Scenario, Scenario]:
    """A reliable 183 with a description, acknowledged."""
    caller = Scenario(A.national).invite(str(x), headers=("Supported: 100rel",)).expect(100, optional=True)
    caller.expect(183).request("PRACK", headers=("RAck: 1 1 INVITE",)).expect(200).expect(200).ack(cseq=1)
    callee = Scenario(B.national, port=18_000).expect_request("INVITE", first=True)
    callee.reply(183, sdp=True, headers=("Require: 100rel", "RSeq: 1")).expect_request("PRACK")
    callee.reply(200, contact=False).reply_to_invite(200, sdp=True).expect_request("ACK")
    return caller.request("BYE").expect(200), callee.expect_request("BYE").reply(200)


KINDS: dict[str, Callable[[Number700], tuple[Scenario, Scenario]]] = {
    "changes by the caller": partial(changing, by_caller=True),
    "changes by the callee": partial(changing, by_caller=False),
    "cancelled": cancelled,
    "busy": busy,
    "early media": early,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transport", ["u1", "t1"], ids=["UDP", "TCP"])
def test_nothing_leaks_whatever_happens_in_a_call(
    voice: Bench, tmp_path: Path, kind: str, transport: str
) -> None:
    """Every packet, whatever the two sides do within the call; the caller over UDP or TCP."""
    x, y = voice.number(), voice.number()
    voice.bind(x, A, B, y)
    with Capture(tmp_path / "call.pcap", f"host {CALLER_AT} or host {CALLEE_AT}") as capture:
        voice.call(*KINDS[kind](x), parties=(A, B), transport=transport)
    assert leaks_of_call(capture.packets, A, B, [x, y]) == []


def test_nothing_is_left_in_files(voice: Bench, tmp_path: Path) -> None:
    """Logs, spool, made configuration and the database's own pages hold no number after a call."""
    x = voice.number()
    voice.bind(x, A, B)
    voice.call(
        calling(A, x).request("BYE").expect(200),
        answering(B).expect_request("BYE").reply(200),
        parties=(A, B),
    )
    config = voice.platform.config
    with psycopg.connect(voice.dsn, autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        row = conn.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database "
            "WHERE datname = current_database()"
        ).fetchone()
        assert row is not None
        data = Path(row[0])
        (stored,) = conn.execute("SELECT count(*) FROM route").fetchone() or (0,)
    assert stored
    assert list(config.spool_dir.iterdir())
    checker = LeakChecker({"A": A, "B": B, "C": C})
    leaks = checker.scan_files(
        [config.log_dir, config.spool_dir, config.run_dir, data / "base" / str(row[1]), data / "pg_wal"]
    )
    assert leaks == []
