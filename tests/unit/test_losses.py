"""Every loss is counted, shown by /metrics, and named on the page for operators."""

import re
from pathlib import Path

import pytest

from qibai.api.metrics.losses import CallLosses
from qibai.cli.doctor.call_losses import check_call_losses
from qibai.cli.doctor.finding import State
from qibai.config import Config
from qibai.core.losses import CALL_LOSSES, LOSSES
from qibai.store.loss_counts import LossCounts, read_losses
from qibai.store.spool import SpoolWriter
from recorder_tools import answered_call

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_counts_of_all_processes_are_summed_and_outlive_them(tmp_path: Path) -> None:
    first, second = LossCounts(tmp_path, "voice-0"), LossCounts(tmp_path, "voice-1")
    first.add("call_events_lost")
    second.add("call_events_lost", 2)
    LossCounts(tmp_path, "voice-0").add("call_events_lost")  # the next process in this place
    assert read_losses(tmp_path)["call_events_lost"][0] == 4
    assert read_losses(tmp_path)["calls_refused_full"] == (0, 0.0)
    sample = {s.name: s.value for one in CallLosses(tmp_path).collect() for s in one.samples}
    assert sample["qibai_call_events_lost_total"] == 4


def test_counts_that_have_no_file_do_not_stop_anything(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "losses").write_text("not a folder")
    LossCounts(tmp_path, "voice-0").add("call_events_lost")
    assert "counted in memory alone" in capfd.readouterr().err
    assert read_losses(tmp_path)["call_events_lost"][0] == 0


def test_doctor_fails_on_a_loss(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    assert [one.state for one in check_call_losses(config)] == [State.OK]
    LossCounts(config.run_dir, "voice-0").add("call_events_lost", 3)
    (found,) = check_call_losses(config)
    assert (found.state, found.name) == (State.FAIL, "call records")
    assert found.says.startswith("3, the last at")


def test_the_page_has_every_counter_and_no_other() -> None:
    section = PAGE.read_text("utf-8").partition("## What can be lost")[2].partition("\n## ")[0]
    assert set(re.findall(r"`qibai_(\w+)_total`", section)) == {*LOSSES, *CALL_LOSSES}


def test_a_spool_that_fails_for_another_reason_than_room_refuses_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:

    monkeypatch.setattr("qibai.store.spool.LOOK_S", 0.0)
    counts = LossCounts(tmp_path, "voice-0")
    folder = tmp_path / "spool"
    writer = SpoolWriter(folder, "voice", lambda: counts)
    assert writer.has_room()
    folder.write_text("not a folder")
    assert not writer.append(answered_call()[0])
    assert not writer.has_room()
    folder.unlink()
    assert writer.has_room()
    assert writer.append(answered_call()[0])
    assert read_losses(tmp_path)["call_events_lost"][0] == 1
    assert "refused" in capfd.readouterr().err
