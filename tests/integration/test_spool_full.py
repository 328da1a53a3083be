"""A disk that fills up: new calls are refused before a record is lost, and taken again when there is room."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from disk_tools import small_disk
from qibai.core.numbering import Number700
from qibai.store import spool
from qibai.store.loss_counts import LossCounts, read_losses
from qibai.store.spool import SpoolWriter
from qibai.testing.platform import wait_for
from qibai.testing.sipp import Scenario
from voice_tools import A, B, Bench, answering, bench, calling


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "1m") as place:
        yield place


def test_no_room_is_seen_before_the_disk_is_full(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LOOK_S", 0.0)
    writer = SpoolWriter(disk, "voice")
    assert writer.has_room()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(970_000))
    assert not writer.has_room()
    ballast.write_bytes(bytes(900_000))
    assert not writer.has_room()  # more than the reserve is free, but less than twice of it
    ballast.unlink()
    assert writer.has_room()
    assert writer.lost == 0


def test_losses_that_were_counted_in_memory_reach_the_file_when_there_is_room(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "LOOK_S", 0.0)
    earlier = LossCounts(disk / "run", "voice-1")
    earlier.add("calls_refused_full", 2)
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(1_100_000))
    counts = LossCounts(disk / "run", "voice-2")
    counts.add("calls_refused_full", 3)
    counts.settle()
    writer = SpoolWriter(disk / "spool", "voice", lambda: counts)
    assert not writer.has_room()
    assert read_losses(disk / "run")["calls_refused_full"][0] == 2
    ballast.unlink()
    assert writer.has_room()
    count, at = read_losses(disk / "run")["calls_refused_full"]
    assert (count, at > 0) == (5, True)
    counts.add("calls_refused_full")
    assert read_losses(disk / "run")["calls_refused_full"][0] == 6


@pytest.mark.voice
def test_calls_are_refused_while_the_disk_is_full_and_taken_again(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """The refused caller hears 503, and the refusals are counted."""
    with bench(tmp_path, database) as voice:
        config = voice.platform.config
        x = voice.number()
        voice.bind(x, A, B)
        voice.call(calling(A, x), answering(B))  # its worker has its counts, and a spool file that is open
        with small_disk(config.spool_dir, "1m"):
            ballast = config.spool_dir / "ballast"
            ballast.write_bytes(bytes(1_000_000))
            wait_for(lambda: _refused(voice, x), "a refusal", 20)
            ballast.unlink()
            time.sleep(2 * spool.LOOK_S)  # each worker looks once a second
            voice.call(calling(A, x), answering(B))
        assert read_losses(config.run_dir)["call_events_lost"][0] == 0


def _refused(voice: Bench, called: Number700) -> int:
    """Call once; how many calls the full disk has refused so far. Nobody is there to answer: 503 as well."""
    call = Scenario(A.national).invite(str(called)).expect(100, optional=True).expect(503)
    voice.call(call.fail_ack(str(called)), None)
    return read_losses(voice.platform.config.run_dir)["calls_refused_full"][0]
