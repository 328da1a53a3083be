"""While a folder is held, nothing is removed from it."""

from pathlib import Path

from qibai.store.hold import held, removing


def test_a_held_folder_is_left_alone_until_all_let_go(tmp_path: Path) -> None:
    with held(tmp_path):
        with held(tmp_path), removing(tmp_path) as free:
            assert not free
        with removing(tmp_path) as free:
            assert not free
    with removing(tmp_path) as free:
        assert free
