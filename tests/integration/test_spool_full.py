"""A disk that fills up: new calls are refused before a record is lost, and taken again when there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qibai.store import spool
from qibai.store.spool import SpoolWriter


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_no_room_is_seen_before_the_disk_is_full(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LOOK_S", 0.0)
    writer = SpoolWriter(small_disk, "voice")
    assert writer.has_room()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(970_000))
    assert not writer.has_room()
    ballast.write_bytes(bytes(900_000))
    assert not writer.has_room()  # more than the reserve is free, but less than twice of it
    ballast.unlink()
    assert writer.has_room()
    assert writer.lost == 0
