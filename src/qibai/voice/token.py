"""The dialog's state, sealed into our Contact: any node with the key handles any request of any call."""

import hashlib
from typing import Final

import msgspec

from qibai.core.errors import TokenBroken
from qibai.core.sip import Leg, Message
from qibai.core.token import MAX_TOKEN, TokenKeys, seal, unseal

__all__ = ["MAX_TOKEN", "DialogState", "TokenKeys", "dialog_of", "is_of", "open_state", "seal_state"]

#: A request is still taken for so long after the call's last moment: nodes' clocks differ, and somebody may
#: set them while the call goes on. That a call has ended is known by its record, long before.
MARGIN_S: Final = 86_400


class DialogState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a request to our Contact needs: how to reach the other side, and which call it belongs to."""

    from_caller: bool  #: the caller holds this token, and ``leg`` leads to the callee; or the other way round
    leg: Leg
    near_routes: tuple[str, ...]  #: the holder's own route set, for the token that the other side gets next
    code: int  #: of the called number
    binding_id: int
    call_id: int  #: of the call record
    tenant_id: int
    started_at: int  #: Unix seconds of the decision
    max_call_s: int
    session_expires: int  #: seconds; 0 when no session timer runs
    media_id: str  #: rtpengine's call-id; "" when media is not anchored
    caller_peer: str  #: name of the peer that the caller is at
    callee_peer: str
    offer_in_reply: bool = False  #: the holder's INVITE made no offer: its PRACK may answer one
    dialog: bytes = b""  #: the holder's dialog, see ``dialog_of``; empty in tokens of earlier releases
    early: bool = False  #: sealed into a provisional response: the call was not answered yet
    stray: bool = False  #: of an answer that the caller never got: its end is not the call's

    def is_over(self, now: float, ring_timeout_s: int) -> bool:
        """Returns True if the call cannot last until ``now`` (Unix seconds), as long as it may be."""
        return now > self.started_at + ring_timeout_s + self.max_call_s + MARGIN_S


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(DialogState)


def seal_state(state: DialogState, keys: TokenKeys) -> str:
    """A token of URL-safe characters, the same for the same state and key."""
    return seal(_ENCODER.encode(state), keys)


def open_state(token: str, keys: TokenKeys) -> DialogState:
    """The state in ``token``. Raise TokenBroken when it was not ours, was changed, or its key is gone."""
    try:
        return _DECODER.decode(unseal(token, keys))
    except msgspec.MsgspecError:
        raise TokenBroken from None


def dialog_of(call_id: str, ours: str, theirs: str = "") -> bytes:
    """A dialog as its holder names it (RFC 3261 §12): Call-ID, our tag, the holder's own ("": unknown)."""
    return hashlib.blake2b("\0".join((call_id, ours, theirs)).encode(), digest_size=8).digest()


def is_of(request: Message, state: DialogState) -> bool:
    """Returns True if ``request`` belongs to the dialog that ``state`` was sealed for."""
    if not state.dialog:
        return bool(request.to_tag)
    names = request.call_id, request.to_tag
    return bool(request.to_tag) and state.dialog in (dialog_of(*names, request.from_tag), dialog_of(*names))
