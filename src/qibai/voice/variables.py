"""Kamailio's variables that we use, with the type of each."""

from typing import Final

from qibai.voice.ksr import NumberVariable, TextVariable

# -- ours, which last as long as their transaction --------------------------------------------

#: The request that a transaction is of, as ``request_memo`` keeps it for the replies.
ASKED: Final = TextVariable("$avp(qm)")
#: The callee's token, kept for the replies to an INVITE.
STATE: Final = TextVariable("$avp(qb)")
#: The token that a refreshing request within a call came with.
REQUEST_STATE: Final = TextVariable("$avp(qr)")
#: The token that the other side gets with it.
OTHER_STATE: Final = TextVariable("$avp(qo)")
#: Whether an INVITE was handed on to the next peer.
HANDED_ON: Final = NumberVariable("$avp(qh)")
#: How we ended a call ourselves; a 2xx that comes now is too late.
TOLD: Final = NumberVariable("$avp(qt)")
#: The To tag of the 2xx that the caller got.
PASSED: Final = TextVariable("$avp(q2)")
#: To tags of the provisional replies whose description the caller got.
DESCRIBED: Final = TextVariable("$avp(qd)")
#: The callee's final status, which the caller may hear as another.
SAID: Final = NumberVariable("$avp(qs)")
#: The peer that a MESSAGE was last sent to.
FAILED_PEER: Final = TextVariable("$avp(qp)")
#: What a 503 to a MESSAGE said of coming again, seconds.
RETRY_AFTER: Final = TextVariable("$avp(qa)")
#: Whether the gateway heard that the peer of a MESSAGE was silent; its answer now comes too late.
DOUBTED: Final = NumberVariable("$avp(qw)")
#: The description that rtpengine reads, and that which it writes (kamailio.cfg names them as well).
SDP_IN: Final = TextVariable("$avp(sdp_in)")
SDP_OUT: Final = TextVariable("$avp(sdp_out)")
#: The entry at which an iterator of the table ``owed`` stands.
OWED_KEY: Final = TextVariable("$shtitkey(owed)")
OWED_VALUE: Final = TextVariable("$shtitval(owed)")

# -- of the message at hand ---------------------------------------------------------------------

#: The whole message, and as it was received, before Kamailio has read it.
MESSAGE: Final = TextVariable("$mb")
RECEIVED: Final = TextVariable("$rcv(buf)")
#: Where it came from.
SOURCE_ADDRESS: Final = TextVariable("$si")
SOURCE_PORT: Final = NumberVariable("$sp")
#: The transport that it came in on, such as ``UDP``.
TRANSPORT: Final = TextVariable("$proto")
#: Where it is sent.
DESTINATION: Final = TextVariable("$du")
#: Parts of a request, as far as Kamailio could read them.
METHOD: Final = TextVariable("$rm")
REQUEST_URI: Final = TextVariable("$ru")
CALL_ID: Final = TextVariable("$ci")
CSEQ: Final = TextVariable("$cs")
FROM_TAG: Final = TextVariable("$ft")
TO_TAG: Final = TextVariable("$tt")
#: The status of a reply.
STATUS: Final = NumberVariable("$rs")

# -- of the request whose reply or failure is at hand -------------------------------------------

ORIGINAL_MESSAGE: Final = TextVariable("$T_req($mb)")
ORIGINAL_ADDRESS: Final = TextVariable("$T_req($si)")
ORIGINAL_PORT: Final = NumberVariable("$T_req($sp)")
ORIGINAL_TRANSPORT: Final = TextVariable("$T_req($proto)")
#: The status that the transaction comes to.
FINAL_STATUS: Final = NumberVariable("$T_reply_code")
