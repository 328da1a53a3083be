"""What voice writes to the spool and the recorder folds into one record a call.

Events are facts about one call, each with its own time; they may arrive twice or out of order, and folding
them is commutative: a field once known stays, an end that was seen wins over one that was assumed.
"""

from enum import StrEnum

import msgspec


class CallEventKind(StrEnum):
    DECIDED = "decided"  #: an INVITE reached a decision (connected or refused)
    RINGING = "ringing"
    ANSWERED = "answered"
    REFRESHED = "refreshed"  #: RFC 4028: the session goes on
    ENDED = "ended"
    LATE = "late"  #: the callee answered after the call had ended; the recorder hangs up on the callee
    REFUSED = "refused"  #: an INVITE was refused before a decision
    HANDED_ON = "handed_on"  #: a peer failed the call, and the next peer gets it


class EndReason(StrEnum):
    """How a call ended that had gone out; the value is the stable word that records and the API use."""

    ANSWERED = "answered"  #: a party hung up after the answer
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    REDIRECTED = "redirected"  #: the peer named another place, where we do not follow
    CANCELLED = "cancelled"  #: the caller gave up before the answer
    UNREACHABLE = "unreachable"
    ANSWER_UNUSABLE = "answer_unusable"  #: the answer, or its description, cannot be passed on
    MEDIA_UNAVAILABLE = "media_unavailable"  #: our media relay did not answer when the callee had
    MAX_DURATION = "max_duration"
    SESSION_EXPIRED = "session_expired"  #: nobody refreshed the session (RFC 4028)
    MEDIA_TIMEOUT = "media_timeout"  #: neither side sent media for too long
    TERMINATED = "terminated"  #: ended by order
    LOST = "lost"  #: nobody saw the end


class CallEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the spool. Times are Unix seconds; numbers are sealed, never clear."""

    kind: CallEventKind
    code: int  # of the called number; -1 when what was called is no 700 number
    call_id: int  # core.ids.new_id()
    at: float
    node: str
    # decided
    tenant_id: int | None = None
    binding_id: int | None = None
    called: int | None = None  #: serial
    shown: int | None = None  #: serial
    dialled: bytes | None = None  #: sealed: an old number outside 700, which has no serial
    caller: bytes | None = None  #: sealed; AAD: (code, binding_id), or (code, call_id) when unbound
    callee: bytes | None = None
    max_call_s: int | None = None
    #: decided, refused: the peer that sent the call, or the address of a sender that is no peer
    caller_peer: str | None = None
    #: answered, ended: the peer that had the call last
    callee_peer: str | None = None
    gave_up: str | None = None  #: handed on: SIP status, a space, the name of the peer that failed
    # decided with a refusal, or ended
    sip_status: int | None = None
    q850: int | None = None
    #: The value of a ``RefusalReason``, ``EarlyRefusal`` or ``EndReason``, or the id of a rule of the pilot.
    reason: str | None = None
    ended_by: str | None = None  #: caller, callee, platform
    talked_ms: int | None = None  #: ended: since the answer, by the monotonic clock; None: not known here
    # answered, refreshed, late
    #: Sealed JSON of the two Contacts that we gave out (late: of the caller's), to end the call by.
    legs: bytes | None = None
    session_expires: int | None = None  #: seconds; None when no session timer runs
    media_id: str | None = None  #: rtpengine's call-id


ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(CallEvent)
