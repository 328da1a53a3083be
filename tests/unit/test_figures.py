"""Ratios of calls as ITU-T E.411 and E.425 define them."""

import pytest

from qibai.core.figures import CallTally, call_figures, peer_figures, reason_counts, source_figures


def tally(reason: str | None, count: int, **more: object) -> CallTally:
    fields: dict[str, object] = {
        "caller_peer": "east",
        "callee_peer": "west",
        "went_out": True,
        "answered": False,
        "rang": True,
        "ended": True,
        "reason": reason,
        "calls": count,
        "seconds": 0.0,
    }
    return CallTally(**(fields | more))  # type: ignore[arg-type]


CALLS = [
    tally("answered", 40, answered=True, seconds=4_800.0),
    tally(None, 10, answered=True, ended=False),
    tally("busy", 10),
    tally("no_answer", 15),
    tally("rejected", 5),
    tally("cancelled", 4),
    tally("cancelled", 6, rang=False),
    tally("unreachable", 10, rang=False, callee_peer="south"),
    tally(None, 3, ended=False, callee_peer=None),
    tally("not_bound", 20, went_out=False, callee_peer=None),
    tally("source_unknown", 7, went_out=False, callee_peer=None, caller_peer="strangers"),
]


def test_ratios() -> None:
    found = call_figures(CALLS, (1.5, 4.0))
    assert (found.seizures, found.answered, found.under_way, found.refused) == (100, 50, 3, 27)
    assert found.asr == pytest.approx(0.5)
    assert found.ner == pytest.approx(0.84)  # 50 answered, 10 busy, 15 + 4 rung, 5 rejected
    assert found.acd_s == pytest.approx(120.0)
    assert (found.post_dial_delay_s, found.post_dial_delay_p95_s) == (1.5, 4.0)


def test_nothing_has_no_ratio() -> None:
    found = call_figures([tally("not_bound", 2, went_out=False)], (None, None))
    assert (found.seizures, found.refused) == (0, 2)
    assert found.asr is found.ner is found.acd_s is None


def test_reasons_are_sorted_and_say_who_refused() -> None:
    found = reason_counts(CALLS)
    assert [(one.reason, one.count, one.refused) for one in found[:3]] == [
        ("not_bound", 20, True),
        ("no_answer", 15, False),
        ("busy", 10, False),
    ]
    assert ("source_unknown", 7, True) in [(one.reason, one.count, one.refused) for one in found]


def test_peers_that_gave_up_are_counted_beside_the_one_that_had_the_call() -> None:
    south, west = peer_figures(CALLS, [("503 south", 8), ("408 south", 1)])
    assert (south.peer, south.tried, south.answered) == ("south", 19, 0)
    assert south.failed == {"unreachable": 10, "gave_up 503": 8, "gave_up 408": 1}
    assert (west.tried, west.answered, sum(west.failed.values())) == (90, 50, 40)


def test_sources() -> None:
    east, strangers = source_figures(CALLS)
    assert (east.calls, east.answered, east.refused) == (123, 50, {"not_bound": 20})
    assert (strangers.peer, strangers.refused) == ("strangers", {"source_unknown": 7})
