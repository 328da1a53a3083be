"""What may pass from one side to the other: headers by name, and each by the shape of its value.

Everything else is dropped. A pattern leaves no room for free text: numbers are short, words are known.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from qibai.core.errors import BadMessage
from qibai.core.sip.address import split_list
from qibai.core.sip.message import Message

#: Methods that may pass within a call.
IN_DIALOG: Final = frozenset({"ACK", "BYE", "INVITE", "UPDATE", "PRACK", "INFO"})
#: Methods that we name in Allow, when the other side does.
METHODS: Final = frozenset({"ACK", "BYE", "CANCEL", "INFO", "INVITE", "OPTIONS", "PRACK", "UPDATE"})
#: Extensions that work through us. ``replaces``, ``gruu``, ``histinfo`` and the like name the other side.
OPTION_TAGS: Final = frozenset({"100rel", "precondition", "timer"})

_Q850 = re.compile(
    r"[ \t]*Q\.850[ \t]*;(?:.*;)?[ \t]*cause[ \t]*=[ \t]*([0-9]{1,3})(?![0-9])",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)


_RACK = re.compile(r"([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t]+(INVITE)", re.ASCII)
_RETRY = re.compile(r"([0-9]{1,6})[ \t]*(?:[(;]|$)", re.ASCII)


@lru_cache(maxsize=512)
def _option_tags(value: str) -> str | None:
    tags = [tag.strip(" \t").lower() for tag in value.split(",")]
    return ", ".join(dict.fromkeys(tag for tag in tags if tag in OPTION_TAGS)) or None


@lru_cache(maxsize=512)
def _methods(value: str) -> str | None:
    methods = [method.strip(" \t") for method in value.split(",")]
    return ", ".join(dict.fromkeys(method for method in methods if method in METHODS)) or None


def _shaped(pattern: str) -> Callable[[str], str | None]:
    """A filter that passes a value just when the whole of it has this shape."""
    match = re.compile(pattern, re.ASCII).fullmatch
    return lambda value: value if match(value) else None


def _session_expires(value: str) -> str | None:
    seconds, _, rest = value.partition(";")
    seconds = seconds.strip(" \t")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 6):
        return None
    for param in rest.lower().split(";"):
        name, _, who = param.partition("=")
        if name.strip(" \t") == "refresher" and who.strip(" \t") in ("uac", "uas"):
            return f"{seconds};refresher={who.strip()}"
    return seconds


_EARLY_MEDIA: Final = frozenset({"supported", "sendrecv", "sendonly", "recvonly", "inactive", "gated"})


def _early_media(value: str) -> str | None:
    """P-Early-Media is a list (RFC 5009 §8)."""
    words = [word.strip(" \t").lower() for word in value.split(",")]
    return ", ".join(dict.fromkeys(word for word in words if word in _EARLY_MEDIA)) or None


def _rack(value: str) -> str | None:
    """RAck with single spaces (RFC 3262 §7.2)."""
    return " ".join(found.groups()) if (found := _RACK.fullmatch(value)) else None


def _retry_after(value: str) -> str | None:
    """The seconds, without comment and duration (RFC 3261 §20.33)."""
    return found[1] if (found := _RETRY.match(value)) else None


_Filter = tuple[str, str, Callable[[str], str | None]]
_SECONDS = _shaped(r"[0-9]{1,6}")

_BOTH: Final[tuple[_Filter, ...]] = (
    ("supported", "Supported", _option_tags),
    ("require", "Require", _option_tags),
    ("allow", "Allow", _methods),
    ("session-expires", "Session-Expires", _session_expires),
    ("min-se", "Min-SE", _SECONDS),
    ("p-early-media", "P-Early-Media", _early_media),
)
REQUEST_FILTERS: Final = (
    *_BOTH,
    ("rack", "RAck", _rack),
    ("expires", "Expires", _SECONDS),
)
RESPONSE_FILTERS: Final = (
    *_BOTH,
    ("rseq", "RSeq", _shaped(r"[0-9]{1,10}")),
    ("retry-after", "Retry-After", _retry_after),
)


def passed(message: Message, filters: tuple[_Filter, ...], omit: frozenset[str] = frozenset()) -> list[str]:
    """The header lines that pass from ``message``, except those named in ``omit``."""
    lines = []
    fields = message.fields
    for name, title, check in filters:
        values = fields.get(name)
        if values is None or name in omit:
            continue
        value = check(values[0] if len(values) == 1 else ",".join(values))
        if value is not None:
            lines.append(f"{title}: {value}")
    return lines


def q850_cause(message: Message) -> int | None:
    """The cause of ``Reason: Q.850``, 0 … 127; None when there is none."""
    values = message.fields.get("reason")
    if values is None:
        return None
    for value in values:
        try:
            items = split_list(value) if "," in value else [value]
        except BadMessage:
            continue
        for item in items:
            found = _Q850.match(item)
            if found is not None and int(found[1]) <= 127:
                return int(found[1])
    return None


def unsupported(request: Message) -> list[str]:
    """The extensions that ``request`` requires and we do not pass: a reason to answer 420."""
    wanted = (tag.lower() for tag in request.items("require"))
    return [tag for tag in wanted if tag and tag not in OPTION_TAGS]


def accepted_body(request: Message) -> bool:
    """Whether ``request`` has no body, one that is read, or one whose sender can do without its being read.

    (RFC 3261 §8.2.3.) Raise BadMessage.
    """
    kind = request.content_type
    if not kind or kind == "application/sdp" or kind.startswith("multipart/"):
        return True
    handling = request.first("content-disposition") or ""
    return re.search(r";[ \t]*handling[ \t]*=[ \t]*\"?optional", handling, re.IGNORECASE) is not None
