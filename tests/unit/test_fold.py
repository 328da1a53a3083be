"""What the record says when a call's events disagree."""

from qibai.core.calls import CallRow, fold
from qibai.core.events import CallEvent, CallEventKind


def event(kind: str, at: float, **more: object) -> CallEvent:
    return CallEvent(kind=CallEventKind(kind), code=1, call_id=2, at=at, node="n", **more)  # type: ignore[arg-type]


def row(*events: CallEvent) -> CallRow:
    return fold(events)[1, 2]


def test_an_end_that_was_seen_replaces_an_assumed_one_though_it_is_later() -> None:
    lost = event("ended", 50.0, reason="lost", ended_by="platform")
    seen = event("ended", 60.0, reason="answered", ended_by="callee", q850=16)
    for found in (row(lost, seen), row(seen, lost)):
        assert found.end is not None
        assert (found.end.by, found.end.at, found.end.assumed) == ("callee", 60_000_000, False)


def test_an_end_made_by_the_platform_wins_over_those_that_its_byes_bring_about() -> None:
    ours = event("ended", 30.0, reason="max_duration", ended_by="platform")
    echoes = [event("ended", 30.001, reason="answered", ended_by=side) for side in ("caller", "callee")]
    found = row(*echoes, ours)
    assert found.end is not None
    assert (found.end.by, found.end.reason) == ("platform", "max_duration")


def test_a_party_that_hung_up_before_the_platform_did_so_itself() -> None:
    found = row(
        event("ended", 30.0, reason="terminated", ended_by="platform"),
        event("ended", 29.999, reason="answered", ended_by="caller"),
    )
    assert found.end is not None
    assert found.end.by == "caller"


def test_a_refusal_is_decided_and_over_in_one() -> None:
    found = row(event("decided", 5.0, reason="not_bound", sip_status=404, q850=1, ended_by="platform"))
    assert found.end is not None
    assert (found.end.at, found.end.reason, found.end.sip_status) == (5_000_000, "not_bound", 404)


def test_legs_are_kept_only_while_the_call_runs() -> None:
    answered = event("answered", 6.0, legs=b"sealed")
    ended = event("ended", 9.0, reason="answered", ended_by="caller")
    assert row(answered).legs == b"sealed"
    assert row(answered, ended).legs is None
    assert row(ended, answered).legs is None


def test_the_last_refresh_counts() -> None:
    found = row(
        event("answered", 6.0, session_expires=1800),
        event("refreshed", 900.0, session_expires=600),
        event("refreshed", 800.0, session_expires=90),
    )
    assert (found.refreshed_at, found.session_expires) == (900_000_000, 600)


def test_ringing_is_no_later_than_the_answer() -> None:
    """Two workers that take 180 and 200 at once may note them the wrong way round."""
    ringing, answered = event("ringing", 2.001), event("answered", 2.0)
    for found in (row(ringing, answered), row(answered, ringing)):
        assert found.ringing_at == found.answered_at == 2_000_000
    assert row(answered, event("ended", 9.0, reason="answered", ended_by="caller")).ringing_at is None


def test_ringing_and_answer_are_no_later_than_an_end_that_was_seen() -> None:
    """A CANCEL that crosses 180, and a BYE that crosses the note of its answer."""
    ended = event("ended", 2.0, reason="cancelled", ended_by="caller")
    ringing, answered = event("ringing", 2.002), event("answered", 2.001)
    for found in (
        row(ringing, answered, ended),
        row(ended, answered, ringing),
        row(ended, ringing, answered),
    ):
        assert found.ringing_at == found.answered_at == 2_000_000
    assert row(ringing, ended).ringing_at == row(ended, ringing).ringing_at == 2_000_000


def test_an_assumed_end_moves_no_time() -> None:
    lost = event("ended", 2.0, reason="lost", ended_by="platform")
    seen = event("ended", 9.0, reason="answered", ended_by="caller")
    found = row(event("ringing", 3.0), lost, event("answered", 4.0), seen)
    assert (found.ringing_at, found.answered_at) == (3_000_000, 4_000_000)
