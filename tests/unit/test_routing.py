"""The decision, by table and by property."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qibai.core.numbering import Code, Msisdn
from qibai.core.routing import (
    SIP_STATUS,
    Refusal,
    RefusalReason,
    Route,
    RouteRecord,
    decide,
)

A = Msisdn("+8613800138000")
X, Y = Code(1).number(1), Code(1).number(2)
RECORD = RouteRecord(
    called=X,
    binding_id=1,
    tenant_id=1,
    shown=Y,
    callee_sealed=b"callee",
    caller_sealed=b"caller",
    ends_at=1000.0,
    max_call_s=60,
    to_group=False,
    from_group=False,
)


@pytest.mark.parametrize(
    ("caller", "record", "now", "in_use", "reason"),
    [
        (None, RECORD, 0.0, True, RefusalReason.CALLER_UNKNOWN),
        (None, None, 0.0, False, RefusalReason.CALLER_UNKNOWN),
        (A, None, 0.0, False, RefusalReason.NOT_BOUND),
        (A, None, 0.0, True, RefusalReason.NOT_A_PARTY),
        (A, RECORD, 1000.0, False, RefusalReason.ORDER_ENDED),
        (A, RECORD, 1000.0, True, RefusalReason.ORDER_ENDED),
        (A, RECORD, 9999.0, True, RefusalReason.ORDER_ENDED),
    ],
)
def test_who_is_refused_and_why(
    caller: Msisdn | None, record: RouteRecord | None, now: float, in_use: bool, reason: RefusalReason
) -> None:
    assert decide(X, caller, record, now, number_in_use=in_use) == Refusal(reason)


@pytest.mark.parametrize("now", [0.0, 999.0, 999.999999])
def test_a_live_pair_is_connected(now: float) -> None:
    assert decide(X, A, RECORD, now) == Route(RECORD, 60)


def test_a_policy_may_refuse_a_live_pair_only() -> None:
    asked = []

    def policy(record: RouteRecord, now: float) -> str:
        asked.append((record, now))
        return "phase"

    assert decide(X, A, RECORD, 5.0, policy=policy) == Refusal(RefusalReason.POLICY, "phase")
    assert decide(X, A, RECORD, 1000.0, policy=policy) == Refusal(RefusalReason.ORDER_ENDED)
    assert decide(X, A, None, 5.0, policy=policy) == Refusal(RefusalReason.NOT_BOUND)
    assert asked == [(RECORD, 5.0)]


def test_another_numbers_record_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="another"):
        decide(Y, A, RECORD, 0.0)


@given(st.floats(0, 1e10), st.floats(0, 1e10), st.booleans())
def test_connected_exactly_until_the_end(ends_at: float, now: float, in_use: bool) -> None:
    record = replace(RECORD, ends_at=ends_at)
    decision = decide(X, A, record, now, number_in_use=in_use)
    assert isinstance(decision, Route) == (now < ends_at)


def test_every_reason_has_a_sip_refusal_of_our_own() -> None:
    assert set(SIP_STATUS) == set(RefusalReason)
    for reason in RefusalReason:
        sip = Refusal(reason).sip
        assert 400 <= sip.status < 700
        assert 1 <= sip.q850 <= 127
        assert not any(ch.isdigit() for ch in sip.phrase)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (RefusalReason.NOT_BOUND, 404),
        (RefusalReason.ORDER_ENDED, 410),
        (RefusalReason.NOT_A_PARTY, 403),
        (RefusalReason.POLICY, 403),
        (RefusalReason.STORE_UNAVAILABLE, 503),
    ],
)
def test_the_statuses_that_networks_rely_on(reason: RefusalReason, status: int) -> None:
    assert Refusal(reason).sip.status == status
