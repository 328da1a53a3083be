"""The journal of the gateway: what is written stays until it is released, whatever tears its end."""

import asyncio
import shutil
from pathlib import Path

import pytest

from qibai.core.errors import ConfigError
from qibai.core.messages import MessageState
from qibai.messaging import journal
from qibai.messaging.facts import Fact, FactKind, line_of
from qibai.messaging.journal import Journal

FACTS = [
    Fact(FactKind.TAKEN, 12345678, 1, 10.5, link="smsc", ref="9f", long="udh8", total=2),
    Fact(FactKind.RECEIPT, 12345678, 1, 11.0, part=2, state=MessageState.REJECTED, error="00b"),
    Fact(FactKind.DISOWNED, 12345678, 2, 12.0, joined=[3, 4]),
]


def opened(folder: Path) -> Journal:
    return Journal(folder)


def test_the_next_gateway_reads_what_was_written_in_order(tmp_path: Path) -> None:
    first = opened(tmp_path)
    for fact in FACTS:
        first.append(fact)
    first.close()
    second = opened(tmp_path)
    assert second.read() == FACTS
    second.release(second.turn())
    second.close()
    third = opened(tmp_path)
    assert (third.read(), third.damaged) == ([], 0)
    third.close()


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    whole = line_of(FACTS[0])
    (tmp_path / "0001.facts").write_bytes(whole + b"00000000 [broken]\n" + whole + line_of(FACTS[1])[:-9])
    made = opened(tmp_path)
    assert made.read() == [FACTS[0], FACTS[0]]
    assert made.damaged == 2
    made.close()


def test_two_gateways_do_not_share_a_folder(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(ConfigError):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


async def test_files_turn_and_a_sync_covers_the_ones_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", 1)
    made = opened(tmp_path)
    made.append(FACTS[0])
    (old,) = made.turn()
    made.append(FACTS[1])
    await asyncio.gather(*(made.synced() for _ in range(3)))
    made.release([old])
    assert not old.exists()
    assert made.backlog() > 0
    made.close()
    again = opened(tmp_path)
    assert again.read() == [FACTS[1]]
    again.close()


@pytest.mark.parametrize("gone", ["file", "folder", "moved"])
def test_a_journal_that_somebody_removes_is_written_again(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "messages"
    first = opened(folder)
    first.append(FACTS[0])
    if gone == "file":
        next(folder.glob(f"*{journal.SUFFIX}")).unlink()
    elif gone == "folder":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "aside")
    first.append(FACTS[1])
    first.release([])
    with pytest.raises(ConfigError):  # its lock is there again
        opened(folder)
    first.close()
    second = opened(folder)
    assert second.read() == FACTS[:2]
    second.close()


def test_files_that_somebody_removes_while_a_flush_is_under_way_are_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", 1)
    folder = tmp_path / "messages"
    made = opened(folder)
    made.append(FACTS[0])
    files = made.turn()
    made.append(FACTS[1])
    shutil.rmtree(folder)
    made.append(FACTS[2])
    made.release(files)
    assert made.turn() != files
    made.close()
    again = opened(folder)
    assert again.read() == FACTS[1:]
    again.close()
