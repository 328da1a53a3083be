"""What peers have said about messages of ours: written down before anything is done about it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from qibai.core.checkedlines import bodies_of, checked_line
from qibai.core.messages import MessageState

MessageKey = tuple[int, int]  #: (code, id)


class FactKind(StrEnum):
    TAKEN = "t"  #: a peer has taken a part
    OUT = "o"  #: a part goes out for the ``tries``-th time; nothing is known of it until its answer
    BACK = "b"  #: it was not taken after all: ``tries`` are left that may have been
    REFUSED = "x"  #: a peer refuses a part for good
    RECEIPT = "r"  #: what became of a part that a peer had taken
    REPORTED = "p"  #: the sender's peer knows what became of it
    DISOWNED = "d"  #: its sender got "not now", though PostgreSQL may have it


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """One of them. May be heard twice; what it says of a part stays true."""

    kind: FactKind
    code: int
    id: int
    at: float  #: Unix seconds
    part: int = 1
    link: str = ""
    ref: str = ""  #: by which a receipt will name it; empty: none will come
    state: MessageState = MessageState.SENT
    error: str = ""
    long: str = ""  #: how the message was split
    total: int = 1  #: into so many parts
    joined: list[int] = []  #: of one that is disowned: other parts that it had joined
    tries: int = 0
    stated_at: float | None = None  #: of a receipt: the date that the peer gives

    @property
    def key(self) -> MessageKey:
        return self.code, self.id


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Fact)


def line_of(fact: Fact) -> bytes:
    """A fact as a checked line of JSON."""
    return checked_line(_ENCODER.encode(fact))


def facts_of(data: bytes) -> Iterator[Fact | None]:
    """The facts of lines; None for a line that is damaged, as by a crash in mid-write."""
    for body in bodies_of(data):
        try:
            yield None if body is None else _DECODER.decode(body)
        except (ValueError, msgspec.MsgspecError):
            yield None
