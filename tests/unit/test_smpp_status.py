"""Each reason has a status; what the other side makes of it is what we meant."""

import pytest

from qibai.core.messages import MessageReason
from qibai.messaging.link import NotNow, Rejected
from qibai.messaging.smpp.status import Status, answer_for, failure


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("reason", list(MessageReason))
def test_a_peer_tries_again_exactly_when_the_reason_is_temporary(
    reason: MessageReason, delivered: bool
) -> None:
    status = answer_for(reason, delivered=delivered)
    assert status is not Status.ROK
    assert isinstance(failure(status), NotNow) == reason.is_temporary


@pytest.mark.parametrize("reason", list(MessageReason))
def test_the_receivers_own_statuses_answer_only_a_deliver_sm(reason: MessageReason) -> None:
    own = {Status.RX_T_APPN, Status.RX_P_APPN, Status.RX_R_APPN}
    assert answer_for(reason, delivered=False) not in own


@pytest.mark.parametrize("status", [0x08, 0x14, 0x58, 0x64])
def test_throttled_full_and_out_of_order_are_for_now(status: int) -> None:
    assert isinstance(failure(status), NotNow)


@pytest.mark.parametrize("status", [0x01, 0x0A, 0x0B, 0x45, 0xFF, 0x400, 0xFFFFFFFF])
def test_every_other_status_is_for_good_and_is_kept(status: int) -> None:
    problem = failure(status)
    assert isinstance(problem, Rejected)
    assert int(problem.error, 16) == status
    assert len(problem.error) <= 16 and problem.error.isalnum()
