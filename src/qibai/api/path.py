"""One address, one spelling: what a request's host, path and query may hold before a route is looked for."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from qibai.api.errors import FieldError, Invalid, NotFound
from qibai.core.masking import mask_name

_ENCODED_SEPARATORS: Final = (b"%2f", b"%5c", b"\\")
_MOST_PARAMETERS: Final = 100

AUTHORITY: Final = "qibai_authority"  #: in the scope: what a request line in absolute form names
_AUTHORITY: Final = re.compile(rb"[^:/?#]+://([^/?#]*)")


def authority_of(target: bytes) -> bytes | None:
    """The authority of a request line in absolute form (``http://host/path``); None: it has another form."""
    found = _AUTHORITY.match(target)
    return found[1] if found else None


def check_host(scope: Mapping[str, Any]) -> None:
    """Raise Invalid unless there is one Host, which only HTTP/1.0 may leave out (RFC 9112, 3.2).

    A request line in absolute form has to name the same host: no two readers of a request may differ.
    A request line may name another version of HTTP, which is not spoken here.
    """
    if scope.get("http_version") not in ("1.0", "1.1"):
        raise Invalid([FieldError("request", "request_invalid", "this server speaks HTTP/1.1")])
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 and (hosts or scope.get("http_version") != "1.0"):
        raise Invalid([FieldError("Host", "request_invalid", "give this header once")])
    named: bytes | None = scope.get(AUTHORITY)
    if named is not None and any(host.strip().lower() != named.lower() for host in hosts):
        raise Invalid([FieldError("Host", "request_invalid", "the request line names another host")])


def check_path(scope: Mapping[str, Any]) -> None:
    """Raise Invalid for octets that are no text, NotFound for another spelling of an address.

    Empty and dotted segments and encoded slashes lead nowhere, so no two readers of a path can differ.
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    _text(raw, "path")
    if any(separator in raw.lower() for separator in _ENCODED_SEPARATORS):
        raise NotFound
    path: str = scope["path"]
    parts = path[1:].split("/")
    if not path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise NotFound
    if any(_is_other_spelling(part) for part in parts):
        raise NotFound


def _is_other_spelling(part: str) -> bool:
    """Whether it would be read as a whole number, but is not written as one: 01, +1, １."""
    try:
        return str(int(part)) != part
    except ValueError:
        return False


def check_query(query: bytes, known: Mapping[str, bool]) -> None:
    """Raise Invalid unless each parameter is text, is known, and is there once.

    ``known``: by name, whether it is a whole number, which then has to be written as one.
    """
    if not query:
        return
    _text(query, "query")
    try:
        given = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Invalid([FieldError("query", "request_invalid", "too many parameters, or not ASCII")]) from None
    names = [name for name, _ in given]
    for name, value in given:
        if name not in known:
            raise Invalid(
                [FieldError(mask_name(name), "request_invalid", "there is no parameter of this name")]
            )
        if names.count(name) > 1:
            raise Invalid([FieldError(name, "request_invalid", "give this parameter once")])
        if known[name] and not (value.isascii() and value.isdigit()):  # 1e2 would be read as 100
            raise Invalid([FieldError(name, "request_invalid", "give a whole number")])


def _text(raw: bytes, field: str) -> None:
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid([FieldError(field, "request_invalid", "percent-encode text in UTF-8")]) from None
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise Invalid([FieldError(field, "request_invalid", "control characters are not text")])
