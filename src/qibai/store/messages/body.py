"""What is to be sent, sealed: a whole text, or a part as it came; and what a record shows of a text."""

import re
from typing import Final

import msgspec

from qibai.core.errors import SealBroken
from qibai.core.text import Concat, Encoding, Part
from qibai.store.keys import Keyring, binding_aad

Body = str | Part

_SHOWN: Final = 70
#: All but punctuation and spaces; also what PostgreSQL cannot keep and what no terminal should be given.
_WRITING: Final = re.compile(
    r"[^ !-/:-?\[-`{-~\u2010-\u2027\u3001-\u3003\u3008-\u3011\uff01\uff08-\uff0f\uff1a-\uff1f]"
)
_TEXT, _PART = "t", "p"


class _Part(msgspec.Struct, frozen=True, array_like=True):
    encoding: Encoding
    data: bytes
    ref: int = 0
    total: int = 0
    seq: int = 0
    wide: bool = False


_DECODER: Final = msgspec.json.Decoder(_Part)


def seal_body(keyring: Keyring, code: int, id: int, body: Body) -> bytes:
    """Sealed under the message's own id."""
    if isinstance(body, str):
        plain = _TEXT + body
    else:
        place = body.concat
        packed = _Part(body.encoding, body.data)
        if place is not None:
            packed = _Part(body.encoding, body.data, place.ref, place.total, place.seq, place.wide)
        plain = _PART + msgspec.json.encode(packed).decode()
    return keyring.seal(plain, binding_aad(code, id))


def open_body(keyring: Keyring, code: int, id: int, sealed: bytes) -> Body:
    """What ``seal_body`` sealed. Raise SealBroken."""
    plain = keyring.open(sealed, binding_aad(code, id))
    if plain[:1] == _TEXT:
        return plain[1:]
    try:
        packed = _DECODER.decode(plain[1:])
    except msgspec.MsgspecError:
        raise SealBroken from None
    place = Concat(packed.ref, packed.total, packed.seq, packed.wide) if packed.total else None
    return Part(packed.data, packed.encoding, place)


def starred(text: str) -> str:
    """A text with every letter, digit and sign of writing starred: its shape, not its content."""
    shape = _WRITING.sub("*", text[:_SHOWN])
    return shape if len(text) <= _SHOWN else f"{shape}… ({len(text)})"
