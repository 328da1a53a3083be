"""What it takes to end a call from our side: voice notes it with the answer, the recorder sends the BYEs."""

from typing import Final

import msgspec


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
