"""Bodies and headers into typed requests."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from qibai.api.errors import FieldError, Invalid
from qibai.api.problems import invalid

T = TypeVar("T")
_INSTANT: Final = Annotated[datetime, msgspec.Meta(tz=True)]
IDEMPOTENCY_KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")


def _no_repeats(pairs: list[tuple[str, Any]]) -> None:
    """Raise Invalid when a name stands twice: readers differ in which of the two they take."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise Invalid([FieldError("body", "request_invalid", "a name stands twice in one object")])


def _holds_nul(value: Any) -> bool:
    """Whether a text in it, or a name, has a NUL, which no column of text takes."""
    if isinstance(value, dict):
        return any(_holds_nul(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


def _some(_: str) -> int:
    """Any number: what it may be, the type says."""
    return 0


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed request. Raise Invalid, which names the place and never the value."""
    try:
        json.loads(body, object_pairs_hook=_no_repeats, parse_int=_some, parse_float=_some)
    except (ValueError, RecursionError):
        raise Invalid([FieldError("body", "request_invalid", "this is not JSON in UTF-8")]) from None
    try:
        decoded = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise invalid(exc) from None
    if rb"\u0000" in body and _holds_nul(json.loads(body, parse_int=_some)):
        raise Invalid([FieldError("body", "request_invalid", "NUL is not text")])
    return decoded


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
