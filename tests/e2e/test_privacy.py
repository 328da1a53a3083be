"""Calls in all four modes: no packet, log, spool file or database page tells a number where it should not."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from qibai.core.numbering import Msisdn, Number700
from qibai.testing.capture import Capture, Packet
from qibai.testing.leaks import Leak, LeakChecker
from voice_tools import CALLEE_AT, CALLER_AT, FROM_GROUP, TO_GROUP, Bench, answering, bench, calling

pytestmark = pytest.mark.voice

A, B, C = Msisdn("+8615273940618"), Msisdn("+8618640927351"), Msisdn("+8617391058264")
_CALL_ID = re.compile(rb"(?im)^(?:call-id|i)\s*:\s*(\S+)")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("privacy"), database) as made:
        yield made


def what_a_side_saw(packets: list[Packet], address: str) -> list[Packet]:
    """What came to it, and whatever it had to send elsewhere than to the platform."""
    platform = "127.0.0.10"
    return [p for p in packets if p.dst == address or (p.src == address and p.dst != platform)]


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
