"""What ``qibai top`` makes of two looks at ``/metrics``."""

import pytest

from qibai.cli.top.figures import look_of
from qibai.cli.top.samples import Samples

PAGE = """\
qibai_build_info{version="1.0",node="n1"} 1
qibai_voice_up 1
qibai_media_up 0
qibai_recorder_up 1
qibai_gateway_up 0
qibai_recorder_store_up 1
qibai_recorder_start_timestamp_seconds 100
qibai_calls_running{state="answered"} 4
qibai_calls_running{state="ringing"} 2
qibai_media_sessions 5
qibai_peer_up{peer="south"} 0
qibai_peer_up{peer="west"} 1
"""
CALLS = """\
qibai_calls_received_total{{peer="east"}} {received}
qibai_calls_refused_total{{peer="east",rule="not_bound"}} {refused}
qibai_calls_ended_total{{peer="west",outcome="answered",reason="answered"}} {answered}
qibai_calls_ended_total{{peer="west",outcome="unanswered",reason="cancelled"}} 2
qibai_calls_ended_total{{peer="west",outcome="failed",reason="cancelled"}} {failed}
qibai_calls_ended_total{{peer="south",outcome="failed",reason="unreachable"}} 1
qibai_call_duration_seconds_sum {talked}
qibai_call_duration_seconds_count {answered}
qibai_call_post_dial_delay_seconds_bucket{{le="1.0"}} {answered}
qibai_call_post_dial_delay_seconds_bucket{{le="3.0"}} {rang}
qibai_call_post_dial_delay_seconds_bucket{{le="+Inf"}} {rang}
"""
FIRST = CALLS.format(received=20, refused=3, answered=10, failed=1, talked=600.0, rang=12)
LATER = CALLS.format(received=50, refused=4, answered=28, failed=3, talked=1_500.0, rang=32)


def samples(calls: str, at: float) -> Samples:
    return Samples.read(PAGE + calls, at)


def test_the_first_look_counts_since_the_start() -> None:
    look = look_of(samples(FIRST, 1_000.0), None)
    assert (look.node, look.version) == ("n1", "1.0")
    assert look.since == look.started_at and look.calls == look.total
    assert (look.answered_now, look.ringing_now, look.media_sessions) == (4, 2, 5)
    assert (look.calls.received, look.calls.refused, look.calls.ended, look.calls.answered) == (20, 3, 14, 10)
    assert look.calls.asr == pytest.approx(10 / 14) and look.calls.ner == pytest.approx(12 / 14)
    assert look.calls.acd_s == 60.0
    # 11.4 of 12 rang in time: 10 within 1 s, the others within 3 s.
    assert look.calls.post_dial_delay_p95_s == pytest.approx(1 + 2 * 1.4 / 2)
    assert look.calls.setup_p95_s is None
    assert look.unanswered == {"cancelled": 3, "unreachable": 1}


def test_a_later_look_counts_since_the_first() -> None:
    look = look_of(samples(LATER, 1_060.0), samples(FIRST, 1_000.0))
    assert (look.calls.received, look.calls.refused, look.calls.ended, look.calls.answered) == (30, 1, 20, 18)
    assert look.calls.asr == 0.9 and look.calls.acd_s == 50.0
    assert look.unanswered == {"cancelled": 2} and look.refused == {"not_bound": 1}
    assert look.total.received == 50 and look.answered_now == 4
    west = next(one for one in look.peers if one.peer == "west")
    assert (west.up, west.ended, west.asr) == (True, 20, 0.9)
    south = next(one for one in look.peers if one.peer == "south")
    assert (south.up, south.ended, south.asr) == (False, 0, None)


def test_counters_of_a_process_that_restarted_begin_at_0() -> None:
    look = look_of(samples(FIRST, 1_060.0), samples(LATER, 1_000.0))
    assert (look.calls.received, look.calls.answered) == (20, 10)


def test_parts_that_a_node_does_not_have_are_not_named() -> None:
    look = look_of(samples(FIRST, 1_000.0), None)
    assert look.up == {"kamailio": True, "rtpengine": False, "recorder": True, "database": True}
    assert look_of(Samples.read("", 1_000.0), None).up == {}
