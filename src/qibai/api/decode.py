"""Bodies and headers into typed requests."""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from qibai.api.errors import FieldError, Invalid
from qibai.api.problems import invalid

T = TypeVar("T")
IDEMPOTENCY_KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed request. Raise Invalid, which names the place and never the value."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise invalid(exc) from None


def idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The header Idempotency-Key. Raise Invalid unless it is 1 to 255 visible ASCII characters."""
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        message = "give 1 to 255 visible ASCII characters"
        raise Invalid([FieldError("Idempotency-Key", "request_invalid", message)])
    return key.decode("ascii")
