"""The dialog's state, sealed into our Contact: any node with the key handles any request of any call.

A token is ``key id (1) | nonce (12) | AES-256-GCM of the state | tag (16)`` in base64url without padding.
The nonce is a keyed hash of the state: the same state gives the same token, so retransmissions stay alike.
"""

import hashlib
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qibai.core.errors import SealBroken, TokenBroken
from qibai.core.sip import Leg

MAX_TOKEN: Final = 8_192  #: two route sets of the greatest length fit
_MAX_STATE: Final = 8_192
_NONCE: Final = 12
_PLAIN, _DEFLATED = b"\x00", b"\x01"


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


class TokenKeys(Protocol):
    """The part of a keyring that tokens need."""

    @property
    def current_token_key(self) -> tuple[int, bytes]: ...

    def token_key(self, id: int) -> bytes: ...


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(DialogState)
_ciphers: dict[bytes, tuple[AESGCM, bytes]] = {}


def _cipher(key: bytes) -> tuple[AESGCM, bytes]:
    found = _ciphers.get(key)
    if found is None:
        if len(_ciphers) >= 64:
            _ciphers.clear()
        found = AESGCM(key), hashlib.blake2b(key, digest_size=32, person=b"qibai token").digest()
        _ciphers[key] = found
    return found


def seal_state(state: DialogState, keys: TokenKeys) -> str:
    """A token of URL-safe characters, the same for the same state and key."""
    key_id, key = keys.current_token_key
    cipher, nonce_key = _cipher(key)
    plain = _ENCODER.encode(state)
    packed = zlib.compress(plain, 1, -15) if len(plain) > 400 else plain
    plain = _DEFLATED + packed if len(packed) < len(plain) else _PLAIN + plain
    nonce = hashlib.blake2b(plain, key=nonce_key, digest_size=_NONCE).digest()
    first = bytes((key_id & 0xFF,))
    return urlsafe_b64encode(first + nonce + cipher.encrypt(nonce, plain, first)).rstrip(b"=").decode()


def open_state(token: str, keys: TokenKeys) -> DialogState:
    """The state in ``token``. Raise TokenBroken when it was not ours, was changed, or its key is gone."""
    try:
        if len(token) > MAX_TOKEN:
            raise TokenBroken
        blob = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        first, nonce = blob[:1], blob[1 : 1 + _NONCE]
        cipher, _ = _cipher(keys.token_key(first[0]))
        plain = cipher.decrypt(nonce, blob[1 + _NONCE :], first)
        body = plain[1:]
        if plain[:1] == _DEFLATED:
            body = zlib.decompressobj(-15).decompress(body, _MAX_STATE)
        return _DECODER.decode(body)
    except (ValueError, IndexError, InvalidTag, SealBroken, msgspec.MsgspecError, zlib.error):
        raise TokenBroken from None
