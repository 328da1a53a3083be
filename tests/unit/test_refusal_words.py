"""A flood of refused calls gets few records, and every reason is on the page."""

import re
from pathlib import Path

from qibai.core.events import EndReason
from qibai.core.refusals import EARLY_STATUS, EarlyRefusal
from qibai.core.routing import RefusalReason
from qibai.voice.refusalrate import RefusalRate

PAGE = Path(__file__).parents[2] / "docs" / "records.md"


def test_each_peer_has_its_own_records_a_minute() -> None:
    rate = RefusalRate(10, workers=2)
    assert [rate.admits("east", 100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert rate.admits("west", 100.0)
    assert not rate.admits("east", 159.9)
    assert rate.admits("east", 160.0)


def test_a_stranger_has_a_tenth_of_what_all_strangers_have() -> None:
    rate = RefusalRate(20, workers=1)
    assert [rate.admits("192.0.2.1", 1.0, stranger=True) for _ in range(3)] == [True, True, False]
    admitted = sum(rate.admits(f"198.51.100.{n}", 2.0, stranger=True) for n in range(200))
    assert admitted == 18
    assert rate.admits("198.51.100.1", 3.0)  # a peer's name may look as it likes


def test_memory_is_bounded_by_what_is_admitted() -> None:
    rate = RefusalRate(5, workers=1)
    for number in range(10_000):
        rate.admits(f"source {number}", 1.0, stranger=True)
    assert len(rate._admitted) <= 6


def test_a_source_is_told_of_once_a_minute() -> None:
    rate = RefusalRate(1, workers=1)
    rate.admits("east", 0.0)
    assert [rate.tells("east"), rate.tells("east"), rate.tells("west")] == [True, False, True]
    rate.admits("east", 60.0)
    assert rate.tells("east")


def _words(text: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", text)


def test_every_reason_is_on_the_page_and_has_a_status() -> None:
    page = PAGE.read_text("utf-8")
    refused = page.partition("## Refused calls")[2].partition("\n## ")[0]
    assert {*RefusalReason, *EarlyRefusal} <= set(_words(refused))
    assert set(EndReason) <= set(_words(page))
    assert set(EARLY_STATUS) == set(EarlyRefusal)
