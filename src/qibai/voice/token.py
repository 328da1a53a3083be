"""The dialog's state, sealed into our Contact: any node with the key handles any request of any call."""

from typing import Final

import msgspec

from qibai.core.errors import TokenBroken
from qibai.core.sip import Leg
from qibai.core.token import MAX_TOKEN, TokenKeys, seal, unseal

__all__ = ["MAX_TOKEN", "DialogState", "TokenKeys", "open_state", "seal_state"]


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
