"""Files that are replaced as a whole."""

import os
import stat
from pathlib import Path

import pytest

from qibai.files import replace_file


def test_the_old_content_stays_where_the_new_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"old", durable=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "fsync", full)
        replace_file(path, b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_reads_meanwhile_sees_one_content_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"1" * 10_000)
    with path.open("rb") as reading:
        first = reading.read(10)
        replace_file(path, b"2" * 10_000)
        assert first + reading.read() == b"1" * 10_000
    assert path.read_bytes() == b"2" * 10_000
