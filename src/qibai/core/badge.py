"""What our own processes show Kamailio, and it them, so that nobody else is taken for one of them."""

import hashlib
from typing import Final, Literal

import msgspec

from qibai.core.errors import TokenBroken
from qibai.core.token import TokenKeys, seal, unseal

#: Only between ourselves: a request from elsewhere that carries it is refused.
BADGE_HEADER: Final = "X-Qibai-Badge"
PEER_HEADER: Final = "X-Qibai-Peer"  #: of our own 408 on loopback: who was silent
_PURPOSE: Final = b"message"
_HANGUP: Final = b"hangup"
_FRESH_S: Final = 120


class Badge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is sure of a message, beside its body. ``repr`` shows no number."""

    #: in: a text from a peer; notice: what became of one of ours; out: a text for a peer; next: once more, as
    #: ``peer`` could not be used; late: a peer answers what was given up
    kind: Literal["in", "notice", "out", "next", "late"]
    at: int  #: Unix seconds
    peer: str = ""  #: of ``out``: it was silent, so try another
    #: As the peer wrote it, or the 700 number that the receiver sees; of ``late``: what tells copies apart.
    source: str = ""
    destination: str = ""  #: the 700 number, or the receiver in E.164
    message_id: str = ""  #: in CPIM; of ``late``: the Call-ID
    wants_delivery: bool = False
    wants_failures: bool = False
    state: str = ""  #: of a notice; of ``late``: the status
    expires: int | None = None  #: seconds
    digest: bytes = b""  #: of the body

    def __repr__(self) -> str:
        return f"<Badge {self.kind} {self.peer}>"


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Badge)


def seal_badge(badge: Badge, keys: TokenKeys, body: str = "") -> str:
    """The header's value, good for this body alone."""
    return seal(_ENCODER.encode(msgspec.structs.replace(badge, digest=_digest(body))), keys, _PURPOSE)


def open_badge(token: str, keys: TokenKeys, *, now: float, body: str = "") -> Badge:
    """Raise TokenBroken when it is not ours, is old, or was given with another body."""
    try:
        badge = _DECODER.decode(unseal(token, keys, _PURPOSE))
    except msgspec.MsgspecError:
        raise TokenBroken from None
    if abs(now - badge.at) > _FRESH_S or badge.digest != _digest(body):
        raise TokenBroken
    return badge


def seal_hangup(call_id: str, keys: TokenKeys) -> str:
    """The header's value in a request that ends the dialog with this Call-ID, on behalf of a side of it."""
    return seal(call_id.encode(), keys, _HANGUP)


def is_hangup(token: str, call_id: str, keys: TokenKeys) -> bool:
    """Returns True if ``seal_hangup`` made this for the same Call-ID. This badge does not age."""
    try:
        return unseal(token, keys, _HANGUP) == call_id.encode()
    except TokenBroken:
        return False


def _digest(body: str) -> bytes:
    return hashlib.blake2b(body.encode("utf-8", "surrogateescape"), digest_size=16).digest()
