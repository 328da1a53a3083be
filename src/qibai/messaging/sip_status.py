"""SIP statuses: what a sender is answered, and what a peer's answer means."""

from typing import Final

from qibai.core.messages import MessageReason
from qibai.messaging.link import InDoubt, NotNow, Rejected, SubmitError
from qibai.sip_client import Reply

#: What a refused sender is answered.
STATUS: Final = {
    MessageReason.NOT_BOUND: 404,
    MessageReason.ORDER_ENDED: 410,
    MessageReason.NOT_A_PARTY: 403,
    MessageReason.CALLER_UNKNOWN: 403,
    MessageReason.NUMBER_MALFORMED: 404,
    MessageReason.POLICY: 403,
    MessageReason.STORE_UNAVAILABLE: 503,
    MessageReason.DIRECTION: 403,
    MessageReason.CONTENT: 488,
    MessageReason.RATE: 480,
    MessageReason.MALFORMED: 400,
    MessageReason.OVERLOADED: 503,
    MessageReason.PEER_REJECTED: 403,
    MessageReason.VALIDITY_OVER: 480,
    MessageReason.PARTS_MISSING: 400,
    MessageReason.NO_RECEIPT: 480,
}
#: Seconds after which a sender may come again, by status.
RETRY_AFTER: Final = {480: 60, 503: 5}

#: Somebody did not answer in time: the peer, or somebody behind it. The message may have been taken.
_TIME_OUTS: Final = frozenset({408, 504})
_TEMPORARY: Final = frozenset({480})
_NEVER: Final = frozenset({501, 505, 513})  #: what the peer cannot do now it cannot do later


def failure_of(reply: Reply) -> SubmitError:
    """What an answer that is no success means."""
    status = reply.status
    if status in _TIME_OUTS:
        return InDoubt(reply.retry_after)
    if status in _TEMPORARY or (500 <= status < 600 and status not in _NEVER):
        return NotNow(reply.retry_after)
    return Rejected(str(status))
