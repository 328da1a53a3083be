"""Addresses: name-addr and addr-spec headers, SIP and tel URIs, comma lists (RFC 3261 §25, RFC 3966)."""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from qibai.core.errors import BadMessage

MAX_URI: Final = 4_096

_WORD: Final = r"[A-Za-z0-9\-.!%*_+`'~]"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_OTHER: Final = "\\x80-\\U0010ffff"  # what is not ASCII: many write it without escaping it
_NAME_ADDR = re.compile(
    rf"(?:{_QUOTED}[ \t]*|[^\"<>,;:]*+)<([A-Za-z][A-Za-z0-9+.\-]*:[!#-;=?-~{_OTHER}]+)>(.*)", re.DOTALL
)
_ADDR_SPEC = re.compile(rf"([A-Za-z][A-Za-z0-9+.\-]*:[!#-+\--:=@-~{_OTHER}]+)[ \t]*(;.*|)", re.DOTALL)
#: The usual shape at once: display name without escapes, plain SIP URI, tag.
_USUAL = re.compile(
    r"(?:\"[^\"\\]*+\" ?)?"
    r"<(sip:(?:[A-Za-z0-9+\-_.]++@)?[A-Za-z0-9.\-]++(?::[0-9]{1,5})?(?:;[A-Za-z0-9=.\-_]++)*+)>"
    rf"(?:;tag=({_WORD}{{1,256}}))?"
)
_JUST_TAG = re.compile(rf";tag=({_WORD}{{1,256}})")
_PARAMETER = re.compile(rf"[ \t]*;[ \t]*({_WORD}++)(?:[ \t]*=[ \t]*({_QUOTED}|[^\";,<> \t]*+))?", re.DOTALL)
_TAG = re.compile(rf"{_WORD}{{1,256}}", re.ASCII)
_LIST_ITEM = re.compile(rf'(?:[^",<]|{_QUOTED}|<[^<>]*>)++', re.DOTALL)

_SIP_URI = re.compile(
    r"(sips?):(?:((?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|%[0-9A-Fa-f]{2})++)(?::(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*+)?@)?"
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)(?::([0-9]{1,5}))?((?:;[^;?@\s]*)*)(?:\?[^\s@]*)?",
    re.ASCII | re.IGNORECASE,
)
_TEL_URI = re.compile(r"tel:(\+?[0-9\-.()*#A-Fa-f]+)((?:;[^;?\s]+)*)", re.ASCII | re.IGNORECASE)


class Uri(NamedTuple):
    """The parts of a sip, sips or tel URI; ``user`` still escaped, without its own parameters."""

    scheme: str
    user: str  #: of a tel URI: the number
    host: str
    port: int  #: 0 when it is not written
    params: dict[str, str]  #: names in lower case; of URI and user part alike


def split_list(value: str) -> list[str]:
    """Split a comma list, minding quotes and angle brackets; empty items go. Raise BadMessage.

    (RFC 3261 writes no empty items, but a header without a value is one.)
    """
    if '"' not in value and "<" not in value:
        items = [item.strip(" \t") for item in value.split(",")]
    else:
        items, at = [], 0
        while at < len(value):
            if value[at] == ",":
                at += 1
                continue
            found = _LIST_ITEM.match(value, at)
            if found is None:
                raise BadMessage("a list in a header is malformed")
            items.append(found[0].strip(" \t"))
            at = found.end()
            if value[at : at + 1] not in ("", ","):
                raise BadMessage("quotes or angle brackets do not match")
    return [item for item in items if item]


def read_address(value: str) -> tuple[str, str]:
    """(URI, tag) of a From, To, Contact or Route value; without a tag it is "". Raise BadMessage."""
    usual = _USUAL.fullmatch(value)
    if usual is not None and len(value) <= MAX_URI:
        return usual[1], usual[2] or ""
    found = _NAME_ADDR.fullmatch(value) or _ADDR_SPEC.fullmatch(value)
    if found is None or len(value) > MAX_URI:
        raise BadMessage("an address is malformed")
    uri, params = escape_octets(found[1]), found[2]
    _check_uri(uri)
    if not params:
        return uri, ""
    only_tag = _JUST_TAG.fullmatch(params)
    if only_tag is not None:
        return uri, only_tag[1]
    tag = _read_params(params).get("tag", "")
    if tag and not _TAG.fullmatch(tag):
        raise BadMessage("a tag is malformed")
    return uri, tag


def escape_octets(uri: str) -> str:
    """A URI in ASCII: other octets are written as %-escapes, which mean the same (RFC 3261 §19.1.4)."""
    if uri.isascii():
        return uri
    return "".join(
        char
        if char.isascii()
        else "".join(f"%{octet:02X}" for octet in char.encode("utf-8", "surrogateescape"))
        for char in uri
    )


def _read_params(text: str) -> dict[str, str]:
    params: dict[str, str] = {}
    at = 0
    text = text.rstrip(" \t")
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            raise BadMessage("a parameter is malformed")
        name = found[1].lower()
        if name in params:
            raise BadMessage("a parameter stands twice")
        params[name] = found[2] or ""
        at = found.end()
    return params


def _check_uri(uri: str) -> None:
    """Raise BadMessage when a URI of a scheme that we know is malformed."""
    scheme = uri[:5].lower()
    if scheme.startswith(("sip:", "sips:")) and not _SIP_URI.fullmatch(uri):
        raise BadMessage("a SIP URI is malformed")


def read_uri(uri: str) -> Uri | None:
    """The parts of a sip, sips or tel URI; None when it is of another kind or malformed."""
    found = _SIP_URI.fullmatch(uri)
    if found is not None:
        scheme, user, host, port, params = found.groups()
        user, _, own = (user or "").partition(";")
        return Uri(scheme.lower(), user, host, int(port or 0), _uri_params(own + params if own else params))
    found = _TEL_URI.fullmatch(uri)
    if found is not None:
        return Uri("tel", found[1], "", 0, _uri_params(found[2]))
    return None


def uri_at(host: str, port: int, transport: str) -> str:
    """The SIP URI of a host that is reached so; UDP is not named."""
    return f"sip:{uri_host(host)}:{port}" + ("" if transport == "udp" else f";transport={transport}")


def uri_host(address: str) -> str:
    """An IP address as URIs and Vias write it: IPv6 in brackets (RFC 3261 §25.1)."""
    return f"[{address}]" if ":" in address else address


def has_headers(uri: str) -> bool:
    """Whether a SIP URI carries headers (``?Route=…``); a question mark in the user part is none."""
    return uri[:4].lower() in ("sip:", "sips") and "?" in uri.rpartition("@")[2]


def _uri_params(text: str) -> dict[str, str]:
    if not text:
        return {}
    params: dict[str, str] = {}
    for item in text.split(";"):
        name, _, value = item.partition("=")
        if name:
            params.setdefault(name.lower(), value)
    return params


def unescape(text: str) -> str | None:
    """Undo %-escapes; None when what comes out is not UTF-8 text."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return None
