"""Folding knows no order: any arrangement, repetition and split of a call's events gives the same row."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from qibai.core.calls import CallRow, fold, merge
from qibai.core.events import CallEvent, CallEventKind

_small = st.none() | st.integers(1, 3)
_events = st.builds(
    CallEvent,
    kind=st.sampled_from(CallEventKind),
    code=st.just(7),
    call_id=st.just(9),
    at=st.integers(1_000_000, 1_000_006).map(float),
    node=st.sampled_from(["n1", "n2"]),
    tenant_id=_small,
    binding_id=_small,
    called=_small,
    shown=_small,
    caller=st.none() | st.binary(max_size=2),
    callee=st.none() | st.binary(max_size=2),
    max_call_s=_small,
    sip_status=st.none() | st.sampled_from([404, 486]),
    q850=st.none() | st.sampled_from([16, 17]),
    reason=st.none() | st.sampled_from(["answered", "busy", "lost", "terminated"]),
    ended_by=st.none() | st.sampled_from(["caller", "callee", "platform"]),
    talked_ms=_small,
    legs=st.none() | st.binary(max_size=2),
    session_expires=_small,
    media_id=st.none() | st.sampled_from(["m1", "m2"]),
    caller_peer=st.none() | st.sampled_from(["east", "north"]),
    callee_peer=st.none() | st.sampled_from(["west", "south"]),
    gave_up=st.none() | st.sampled_from(["503 west", "408 south"]),
)


def _row(events: list[CallEvent]) -> CallRow:
    return fold(events)[7, 9]


@given(st.lists(_events, min_size=1, max_size=8), st.data())
def test_any_order_and_any_repetition_give_the_same_row(events: list[CallEvent], data: st.DataObject) -> None:
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=4))
    assert _row(data.draw(st.permutations(events + repeats))) == _row(events)


@given(st.lists(_events, min_size=1, max_size=5), st.lists(_events, min_size=1, max_size=5))
def test_rows_of_batches_merge_to_the_row_of_all(first: list[CallEvent], second: list[CallEvent]) -> None:
    whole = _row(first + second)
    assert merge(_row(first), _row(second)) == whole
    assert merge(_row(second), _row(first)) == whole
    assert merge(msgspec.structs.replace(whole), whole) == whole
