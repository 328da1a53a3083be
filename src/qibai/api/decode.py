"""Bodies and headers into typed requests."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from qibai.api.errors import FieldError, Invalid
from qibai.api.problems import invalid

T = TypeVar("T")
_INSTANT: Final = Annotated[datetime, msgspec.Meta(tz=True)]
IDEMPOTENCY_KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed request. Raise Invalid, which names the place and never the value."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise invalid(exc) from None


def instant(text: str, field: str) -> datetime:
    """RFC 3339 with an offset. Raise Invalid."""
    try:
        found: datetime = msgspec.convert(text, _INSTANT)
        return found
    except msgspec.ValidationError:
        message = "give an instant by RFC 3339, with a UTC offset"
        raise Invalid([FieldError(field, "request_invalid", message)]) from None


def no_nulls(query: bytes, *names: str) -> None:
    """Raise Invalid when one of these parameters is ``null``, which would pass for not having been given."""
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if value.strip().lower() == "null" and name in names:
            raise Invalid([FieldError(name, "request_invalid", "null is not a value here")])


def idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The header Idempotency-Key. Raise Invalid unless it is 1 to 255 visible ASCII characters."""
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        message = "give 1 to 255 visible ASCII characters"
        raise Invalid([FieldError("Idempotency-Key", "request_invalid", message)])
    return key.decode("ascii")
