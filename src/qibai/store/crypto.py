"""How a real number is kept: sealed values (SM4-GCM) and blind indexes (HMAC-SM3), both of Chinese standards.

A sealed value is ``key id (2 bytes, big-endian) | nonce (12) | ciphertext | tag (16)``.
"""

import os
import struct
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from qibai.core.errors import SealBroken

VALUE_KEY_BYTES: Final = 16
HASH_KEY_BYTES: Final = 32
TOKEN_KEY_BYTES: Final = 32
BLIND_BYTES: Final = 16
OVERHEAD: Final = 2 + 12 + 16

_ID: Final = struct.Struct(">H")
_AAD: Final = struct.Struct(">iq")


def binding_aad(code: int, id: int) -> bytes:
    """What a sealed number of a row is tied to: the row's code and its binding's (or call's) id."""
    return _AAD.pack(code, id)


def sealed_key_id(blob: bytes) -> int:
    """The id of the key that sealed ``blob``. Raise SealBroken when it is too short to be sealed."""
    if len(blob) < OVERHEAD:
        raise SealBroken
    return int(_ID.unpack_from(blob)[0])


def seal(key_id: int, key: algorithms.SM4, plain: bytes, aad: bytes, nonce: bytes | None = None) -> bytes:
    """Encrypt and authenticate ``plain``; ``aad`` is authenticated only and must be given again to open.

    ``nonce``: 12 random bytes that were never used before, if the caller has them at hand.
    """
    nonce = nonce or os.urandom(12)
    encryptor = Cipher(key, modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    body = encryptor.update(plain) + encryptor.finalize()
    return _ID.pack(key_id) + nonce + body + encryptor.tag


def unseal(key: algorithms.SM4, blob: bytes, aad: bytes) -> bytes:
    """Decrypt what ``seal`` made. Raise SealBroken unless key, text and ``aad`` are all as they were."""
    if len(blob) < OVERHEAD:
        raise SealBroken
    decryptor = Cipher(key, modes.GCM(blob[2:14], blob[-16:])).decryptor()
    decryptor.authenticate_additional_data(aad)
    try:
        return decryptor.update(blob[14:-16]) + decryptor.finalize()
    except InvalidTag:
        raise SealBroken from None


def blinder(key: bytes) -> Callable[[bytes], bytes]:
    """The blind index under ``key``: the first 16 bytes of HMAC-SM3.

    The key's own two blocks are hashed once, here; each call copies that state.
    """
    keyed = hmac.HMAC(key, hashes.SM3())

    def blind(text: bytes) -> bytes:
        mac = keyed.copy()
        mac.update(text)
        return mac.finalize()[:BLIND_BYTES]

    return blind


def mac(key: bytes, text: bytes) -> bytes:
    """HMAC-SM3 under a key derived from ``key``, so that no blind index can ever equal one."""
    derived = hmac.HMAC(key, hashes.SM3())
    derived.update(b"qibai mac 1")
    keyed = hmac.HMAC(derived.finalize(), hashes.SM3())
    keyed.update(text)
    return keyed.finalize()
