"""Which calls are due to be ended, and what is said to rtpengine and Kamailio."""

import pytest

from qibai.core.bencode import decode, encode
from qibai.core.calls import row_of
from qibai.core.events import CallEvent, CallEventKind
from qibai.records.keeper import Keeper
from qibai.sip_client import reply_of

KEY = (1, 2)


def event(kind: CallEventKind, at: float, **more: object) -> CallEvent:
    return CallEvent(kind=kind, code=1, call_id=2, at=at, node="n", **more)  # type: ignore[arg-type]


def keeper(*events: CallEvent) -> Keeper:
    made = Keeper(ring_timeout_s=60, max_call_s=14_400)
    made.hear(events, now=1_050.0, wall=1_050.0)
    return made


DECIDED = event(CallEventKind.DECIDED, 1_000, max_call_s=300)
ANSWERED = event(CallEventKind.ANSWERED, 1_010, legs=b"x", session_expires=90)
ENDED = event(CallEventKind.ENDED, 1_020, reason="answered", ended_by="caller")


def reasons(made: Keeper, now: float) -> list[str]:
    return [due.reason for due in made.due(now)]


def test_an_end_may_be_read_before_the_beginning() -> None:
    made = keeper(ENDED, DECIDED, ANSWERED)
    assert not made.live
    assert made.knows(KEY)


def test_a_call_is_forgotten_only_after_all_was_heard_that_was_written_before_its_end() -> None:
    made = Keeper(ring_timeout_s=60, max_call_s=14_400, remember_s=300)
    made.hear([DECIDED, ENDED], now=1_020.0, wall=1_020.0)
    made.forget_old(1_400.0, heard_at=1_019.0)  # its answer may stand in a file that is not read yet
    made.hear([ANSWERED], now=1_401.0, wall=1_401.0)
    assert made.held == 1 and not made.live
    made.forget_old(1_300.0, heard_at=1_300.0)  # it is not long ago
    assert made.held == 1
    made.forget_old(1_402.0, heard_at=1_402.0)
    assert made.held == 1  # it is not counted yet
    made.hear([], now=1_403.0, wall=1_403.0, heard_at=1_402.0)
    assert made.held == 0


def test_a_late_answer_is_set_aside_and_begins_no_call() -> None:
    late = event(CallEventKind.LATE, 1_021, legs=b"x")
    for made in (keeper(DECIDED, ENDED, late), keeper(late, DECIDED, ENDED)):
        assert made.late == [late]
        assert not made.live


def test_an_unanswered_call_is_lost_a_minute_after_it_should_have_rung_out() -> None:
    made = keeper(DECIDED)
    assert reasons(made, 1_119) == []
    assert reasons(made, 1_121) == ["lost"]
    assert reasons(made, 1_122) == []  # once


def test_a_silent_session_expires_and_a_refreshed_one_goes_on() -> None:
    assert reasons(keeper(DECIDED, ANSWERED), 1_131) == []
    assert reasons(keeper(DECIDED, ANSWERED), 1_133) == ["session_expired"]
    refreshed = event(CallEventKind.REFRESHED, 1_050, session_expires=90)
    assert reasons(keeper(DECIDED, refreshed, ANSWERED), 1_133) == []


def test_the_longest_time_counts_from_the_answer() -> None:
    answered = event(CallEventKind.ANSWERED, 1_010, legs=b"x")
    assert reasons(keeper(DECIDED, answered), 1_309) == []
    assert reasons(keeper(DECIDED, answered), 1_310) == ["max_duration"]


def test_an_over_long_call_without_legs_is_lost_after_a_while() -> None:
    answered = event(CallEventKind.ANSWERED, 1_010)
    assert reasons(keeper(DECIDED, answered), 1_399) == []
    assert reasons(keeper(DECIDED, answered), 1_400) == ["lost"]


HOUR = 3_600.0


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_call_grows_no_older_and_no_younger_when_the_clock_is_set(step: float) -> None:
    """Its session is refreshed afterwards, by the new clock."""
    for session_expires, ends in ((90, (1_222, "session_expired")), (0, (1_310, "max_duration"))):
        made = keeper(DECIDED, ANSWERED)
        refreshed = event(CallEventKind.REFRESHED, 1_100 + step, legs=b"x", session_expires=session_expires)
        made.hear([refreshed], now=1_101.0, wall=1_101 + step, heard_at=1_099.5)
        assert reasons(made, ends[0] - 1) == []
        assert reasons(made, ends[0]) == [ends[1]]


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_an_event_written_just_before_the_clock_was_set_happened_just_now(step: float) -> None:
    made = keeper()
    made.hear([ANSWERED, DECIDED], now=1_011.0, wall=1_011 + step, heard_at=1_009.5)
    assert reasons(made, 1_132) == []
    assert reasons(made, 1_133) == ["session_expired"]


def test_after_a_start_ages_are_what_the_clock_says_and_never_below_nothing() -> None:
    made = Keeper(ring_timeout_s=60, max_call_s=14_400)
    made.hear([DECIDED], now=5_000.0, wall=5_000.0)
    made.add(row_of(event(CallEventKind.ANSWERED, 1_010, legs=b"x")), 5_000.0, wall=900.0)
    assert reasons(made, 5_299) == []
    assert reasons(made, 5_300) == ["max_duration"]
    made = Keeper(ring_timeout_s=60, max_call_s=14_400)
    made.hear([DECIDED, ANSWERED], now=5_000.0, wall=5_000.0)
    assert reasons(made, 5_000) == ["max_duration"]


def test_an_order_waits_for_the_answer_and_is_claimed_once() -> None:
    made = keeper(DECIDED)
    assert made.claim(KEY) is None
    made.add(row_of(ANSWERED), 1_050.0, wall=1_050.0)
    assert made.claim(KEY) is not None
    assert made.claim(KEY) is None


def test_media_is_gone_only_when_it_stays_so() -> None:
    made = keeper(DECIDED, ANSWERED)
    assert not made.media_gone(KEY, True, 10.0, 2.0)
    assert not made.media_gone(KEY, False, 11.0, 2.0)
    assert not made.media_gone(KEY, True, 12.0, 2.0)
    assert made.media_gone(KEY, True, 14.0, 2.0)


def test_bencode_comes_back_the_same() -> None:
    value = {b"b": [1, -2, b""], b"a": {b"x": b"1:2"}}
    assert encode(value).startswith(b"d1:a")
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "text", [b"", b"i", b"i1", b"5:abc", b"l", b"d1:a", b"di1ei2ee", b"i1ei2e", b"-1:a", b"l" * 50]
)
def test_what_is_no_bencode_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;rport=5;branch=z9hG4bKa\r\n\r\n", ("z9hG4bKa", 200)),
        (b"SIP/2.0 481 x\r\nv: SIP/2.0/UDP h;branch=b1, SIP/2.0/UDP i;branch=b2\r\n\r\n", ("b1", 481)),
        (b"SIP/2.0 200 OK\r\n\r\n", None),
        (b"BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=b\r\n\r\n", None),
        (b"\xff\x00", None),
    ],
)
def test_replies_are_told_by_their_branch(text: bytes, found: tuple[str, int] | None) -> None:
    reply = reply_of(text)
    assert (None if reply is None else reply[:2]) == found
