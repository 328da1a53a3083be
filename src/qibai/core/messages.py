"""A text message through a 700 number: its states, and why one is refused."""

from enum import StrEnum

from qibai.core.routing import Refusal


class MessageState(StrEnum):
    """Where a message stands. A final state never changes; each message ends in exactly one."""

    QUEUED = "queued"  #: durable; waits for its first or next attempt
    SENT = "sent"  #: a peer has taken it; its receipt is awaited
    DELIVERED = "delivered"
    EXPIRED = "expired"  #: its validity period ended before a peer took or delivered it
    REJECTED = "rejected"  #: refused by us (a ``MessageReason`` says why) or by a peer for good
    UNKNOWN = "unknown"  #: a peer took it, or may have, and never said what became of it

    @property
    def is_final(self) -> bool:
        return self not in (MessageState.QUEUED, MessageState.SENT)


class MessageReason(StrEnum):
    """Why a message was not passed on; the value is the stable code in API, records and logs.

    The first seven are ``routing.RefusalReason``'s own; calls have more.
    """

    NOT_BOUND = "not_bound"
    ORDER_ENDED = "order_ended"
    NOT_A_PARTY = "not_a_party"
    CALLER_UNKNOWN = "caller_unknown"
    NUMBER_MALFORMED = "number_malformed"
    POLICY = "policy"  #: the pilot's phase or a certificate; the rule is named beside it
    STORE_UNAVAILABLE = "store_unavailable"  #: nothing is kept; the sender tries again

    DIRECTION = "direction_forbidden"  #: the binding allows no messages this way
    CONTENT = "content_blocked"  #: by the tenant's policy or its hook
    RATE = "rate_limited"  #: of the pair or of the number
    MALFORMED = "message_malformed"  #: its text, header or parts cannot be read
    OVERLOADED = "overloaded"  #: too many wait; nothing is kept; the sender tries again

    PEER_REJECTED = "peer_rejected"  #: the peer it was sent to refused it for good
    VALIDITY_OVER = "validity_over"
    PARTS_MISSING = "parts_missing"  #: the rest of a long message never came
    NO_RECEIPT = "no_receipt"

    @property
    def is_temporary(self) -> bool:
        """The sender may send the same again later; there is no record of it."""
        return self in (MessageReason.STORE_UNAVAILABLE, MessageReason.OVERLOADED)


def reason_of(refusal: Refusal) -> MessageReason:
    """The same reason in the words of messages."""
    return MessageReason(refusal.reason.value)
