"""What it takes to end a call from our side: voice notes it with the answer, the recorder sends the BYEs."""

from typing import Final

import msgspec

#: The CSeq of a BYE made by the platform: above anything that a side has sent, lest the other side refuse it
#: (RFC 3261 §12.2.2), and below 2^31 (§8.1.1.5), with room for each further attempt.
LAST_CSEQ: Final = 2**31 - 16
#: The same to an answer that nobody got; the call's own end may follow it.
LATE_CSEQ: Final = LAST_CSEQ - 16


class Leg(msgspec.Struct, frozen=True):
    """What a BYE on behalf of one side needs. It goes to ``uri``, one of our own Contacts, with its token."""

    uri: str
    from_: str = msgspec.field(name="from")
    to: str
    call_id: str
    cseq: int


class Legs(msgspec.Struct, frozen=True):
    """``caller``: a BYE as the caller would send it, so it reaches the callee; and the other way round."""

    caller: Leg
    callee: Leg


_LEGS: Final = msgspec.json.Decoder(Legs)
_LEG: Final = msgspec.json.Decoder(Leg)


def read_legs(text: str) -> Legs:
    """What was written as JSON, and sealed. Raise msgspec.MsgspecError."""
    return _LEGS.decode(text)


def read_leg(text: str) -> Leg:
    """The same of one side."""
    return _LEG.decode(text)


#: What a BYE may be answered with when its dialog is over all the same (RFC 3261 §15.1.1, RFC 5057 §5.1).
_GONE: Final = frozenset({404, 408, 410, 416, 480, 481, 484, 485, 502, 604})


def ends_dialog(status: int) -> bool:
    """Returns True if a BYE with this final answer has ended its dialog; otherwise the call goes on."""
    return 200 <= status < 300 or status in _GONE
