"""Sealed tokens: what we say to ourselves through others' hands, in URL-safe characters.

A token is ``key id (1) | nonce (12) | AES-256-GCM of the content | tag (16)`` in base64url without padding.
The nonce is a keyed hash of the content: the same content gives the same token, so retransmissions are alike.
"""

import hashlib
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qibai.core.errors import KeyUnknown, SealBroken, TokenBroken, TokenUnread

MAX_TOKEN: Final = 8_192  #: characters; two route sets of the greatest length fit
_MAX_CONTENT: Final = 8_192
_NONCE: Final = 12
_PLAIN, _DEFLATED = b"\x00", b"\x01"


class TokenKeys(Protocol):
    """The part of a keyring that tokens need."""

    @property
    def current_token_key(self) -> tuple[int, bytes]: ...

    def token_key(self, id: int) -> bytes: ...


_ciphers: dict[bytes, tuple[AESGCM, bytes]] = {}


def _cipher(key: bytes) -> tuple[AESGCM, bytes]:
    found = _ciphers.get(key)
    if found is None:
        if len(_ciphers) >= 64:
            _ciphers.clear()
        found = AESGCM(key), hashlib.blake2b(key, digest_size=32, person=b"qibai token").digest()
        _ciphers[key] = found
    return found


def seal(content: bytes, keys: TokenKeys, purpose: bytes = b"") -> str:
    """A token that opens for the same ``purpose`` alone; the same for the same content and key."""
    key_id, key = keys.current_token_key
    cipher, nonce_key = _cipher(key)
    packed = zlib.compress(content, 1, -15) if len(content) > 400 else content
    plain = _DEFLATED + packed if len(packed) < len(content) else _PLAIN + content
    nonce = hashlib.blake2b(plain, key=nonce_key, digest_size=_NONCE).digest()
    first = bytes((key_id & 0xFF,))
    blob = first + nonce + cipher.encrypt(nonce, plain, first + purpose)
    return urlsafe_b64encode(blob).rstrip(b"=").decode()


def unseal(token: str, keys: TokenKeys, purpose: bytes = b"") -> bytes:
    """What was sealed. Raise TokenBroken when it was not by us, was changed, or its key is gone.

    It is TokenUnread where another node may have made its key just now.
    """
    try:
        if len(token) > MAX_TOKEN:
            raise TokenBroken
        blob = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        first, nonce = blob[:1], blob[1 : 1 + _NONCE]
        cipher, _ = _cipher(keys.token_key(first[0]))
        plain = cipher.decrypt(nonce, blob[1 + _NONCE :], first + purpose)
        content = plain[1:]
        if plain[:1] == _DEFLATED:
            content = zlib.decompressobj(-15).decompress(content, _MAX_CONTENT)
        return content
    except KeyUnknown:
        raise TokenUnread from None
    except (ValueError, IndexError, InvalidTag, SealBroken, zlib.error):
        raise TokenBroken from None
