"""Kamailio's variables that we use: each lasts as long as its transaction, and is declared here alone."""

from typing import Final

#: The request that a transaction is of, as ``request_memo`` keeps it for the replies.
ASKED: Final = "$avp(qm)"
#: The callee's token, kept for the replies to an INVITE.
STATE: Final = "$avp(qb)"
#: The token that a refreshing request within a call came with.
REQUEST_STATE: Final = "$avp(qr)"
#: The token that the other side gets with it.
OTHER_STATE: Final = "$avp(qo)"
#: Whether an INVITE was handed on to the next peer.
HANDED_ON: Final = "$avp(qh)"
#: How we ended a call ourselves; a 2xx that comes now is too late.
TOLD: Final = "$avp(qt)"
#: The To tag of the 2xx that the caller got.
PASSED: Final = "$avp(q2)"
#: To tags of the provisional replies whose description the caller got.
DESCRIBED: Final = "$avp(qd)"
#: The callee's final status, which the caller may hear as another.
SAID: Final = "$avp(qs)"
#: The peer that a MESSAGE was last sent to.
FAILED_PEER: Final = "$avp(qp)"
#: What a 503 to a MESSAGE said of coming again, seconds.
RETRY_AFTER: Final = "$avp(qa)"
#: Whether the gateway heard that the peer of a MESSAGE was silent; its answer now comes too late.
DOUBTED: Final = "$avp(qw)"
#: The description that rtpengine reads, and that which it writes (kamailio.cfg names them as well).
SDP_IN: Final = "$avp(sdp_in)"
SDP_OUT: Final = "$avp(sdp_out)"
#: Where the message at hand is sent.
DESTINATION: Final = "$du"
