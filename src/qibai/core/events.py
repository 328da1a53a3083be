"""What voice writes to the spool and the recorder folds into one record a call.

Events are facts about one call, each with its own time; they may arrive twice or out of order, and folding
them is commutative: a field once known stays, an end that was seen wins over one that was assumed.
"""

from enum import StrEnum

import msgspec


class CallEventKind(StrEnum):
    DECIDED = "decided"  # an INVITE reached a decision (connected or refused)
    RINGING = "ringing"
    ANSWERED = "answered"
    REFRESHED = "refreshed"  # RFC 4028: the session goes on
    ENDED = "ended"
    LATE = "late"  # the callee answered after the call had ended: the callee is to be told
    REFUSED = "refused"  # an INVITE was refused before a decision
    HANDED_ON = "handed_on"  # a peer failed the call, and the next peer gets it


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
    called: int | None = None  # serial
    shown: int | None = None  # serial
    dialled: bytes | None = None  # sealed: an old number outside 700, which has no serial
    caller: bytes | None = None  # sealed; AAD: (code, binding_id), or (code, call_id) when unbound
    callee: bytes | None = None
    max_call_s: int | None = None
    # decided, refused: the peer that sent the call, or the address of a sender that is no peer
    caller_peer: str | None = None
    # answered, ended: the peer that had the call last
    callee_peer: str | None = None
    gave_up: str | None = None  # handed on: SIP status, a space, the name of the peer that failed
    # decided with a refusal, or ended
    sip_status: int | None = None
    q850: int | None = None
    reason: str | None = (
        None  # RefusalReason, or: answered, cancelled, busy, no_answer, unreachable, rejected,
    )
    # redirected, max_duration, terminated, session_expired, media_timeout, lost
    ended_by: str | None = None  # caller, callee, platform
    talked_ms: int | None = None  # ended: since the answer, by the monotonic clock; None: not known here
    # answered, refreshed, late
    legs: bytes | None = (
        None  # sealed JSON of the two Contacts we gave out (late: of the caller's), to end the call by
    )
    session_expires: int | None = None  # seconds; None when no session timer runs
    media_id: str | None = None  # rtpengine's call-id


ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(CallEvent)
