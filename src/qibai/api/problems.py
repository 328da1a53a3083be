"""RFC 9457: every error as ``application/problem+json``, by one table from stable code to HTTP status."""

import re
from contextvars import ContextVar
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from qibai.api.errors import FieldError, Invalid, RateLimited
from qibai.core.chinese import SENTENCES, TITLES, in_chinese
from qibai.core.errors import PolicyRefused, QibaiError, TraceLimited
from qibai.core.masking import mask_name

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
Language = Literal["en", "zh"]
_QUALITY: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")

#: The HTTP status of every error code.
STATUS: Final[dict[str, int]] = {
    "request_invalid": 400,
    "unauthenticated": 401,
    "signature_invalid": 401,
    "signature_expired": 401,
    "signature_replayed": 401,
    "tenant_disabled": 403,
    "forbidden": 403,
    "https_required": 403,
    "second_person_required": 403,
    "same_person": 403,
    "policy_refused": 403,
    "direction_forbidden": 403,
    "not_found": 404,
    "binding_not_found": 404,
    "call_not_found": 404,
    "message_not_found": 404,
    "tenant_not_found": 404,
    "request_not_found": 404,
    "resource_not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "quota_exceeded": 409,
    "step_refused": 409,
    "sub_lease_refused": 409,
    "number_taken": 409,
    "pool_exhausted": 409,
    "no_codes": 409,
    "no_code_for_province": 409,
    "binding_ended": 409,
    "call_ended": 409,
    "request_over": 409,
    "body_too_large": 413,
    "media_type_unsupported": 415,
    "number_malformed": 422,
    "number_700_malformed": 422,
    "code_malformed": 422,
    "number_foreign": 422,
    "number_700_as_party": 422,
    "number_not_mobile": 422,
    "number_foreign_digits": 422,
    "number_not_allowed": 422,
    "name_invalid": 422,
    "province_unknown": 422,
    "party_repeated": 422,
    "group_size": 422,
    "mode_mismatch": 422,
    "lifetime_invalid": 422,
    "number_not_owned": 422,
    "order_mismatch": 422,
    "not_a_party": 422,
    "content_blocked": 422,
    "idempotency_mismatch": 422,
    "text_malformed": 422,
    "rate_limited": 429,
    "trace_limited": 429,
    "headers_too_large": 431,
    "error": 500,
    "sip_malformed": 500,
    "token_invalid": 500,
    "config_invalid": 500,
    "audit_broken": 500,
    "key_file": 500,
    "backup_broken": 500,
    "backup_failed": 500,
    "seal_broken": 500,
    "unavailable": 503,
    "store_unavailable": 503,
    "key_unknown": 503,
    "token_unread": 503,
    "overloaded": 503,
    "audit_unanchored": 503,
    "schema": 503,
}

_TITLES: Final = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Content too large",
    415: "Unsupported media type",
    422: "Unprocessable content",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal error",
    503: "Service unavailable",
}


class ProblemField(msgspec.Struct, frozen=True):
    """One input that was wrong."""

    field: Annotated[str, Meta(description="As the request spells it.", examples=["members"])]
    code: Annotated[str, Meta(description="A stable code.", examples=["group_size"])]
    message: Annotated[str, Meta(description="What to do, for people.")]


class Problem(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457). Act on `code`, which never changes its meaning."""

    type: Annotated[str, Meta(description="A page that explains the code.", examples=["/docs#binding_ended"])]
    title: Annotated[str, Meta(description="The HTTP status in words, in the language asked for.")]
    status: Annotated[int, Meta(description="The HTTP status.", ge=400, le=599)]
    code: Annotated[str, Meta(description="A stable code.", examples=["binding_ended"])]
    detail: Annotated[str, Meta(description="What to do, for people. Never holds a real number.")]
    errors: Annotated[list[ProblemField], Meta(description="Which inputs were wrong, if any.")] = []
    rule: (
        Annotated[str, Meta(description="With `policy_refused`: the rule.", examples=["approval_revoked"])]
        | UnsetType
    ) = UNSET
    document: Annotated[str, Meta(description="The document that the rule comes from.")] | UnsetType = UNSET


def status_of(error: QibaiError) -> int:
    """The HTTP status of an error; a code missing in the table would be 500."""
    return STATUS.get(error.code, 500)


#: Of the request that is answered; the gate sets it.
LANGUAGE: Final[ContextVar[Language]] = ContextVar("language", default="en")


def language_of(accepted: str) -> Language:
    """What the header Accept-Language prefers of the two; English, unless Chinese is wanted more."""
    wanted: dict[str, float] = {}
    for part in accepted[:500].lower().split(","):
        tag, _, quality = part.partition(";")
        found = _QUALITY.fullmatch(quality.strip()) if quality else None
        weight = 1.0 if not quality else float(found[1]) if found else 0.0
        name = tag.strip().partition("-")[0]
        wanted[name] = max(wanted.get(name, 0.0), weight)
    chinese, english = wanted.get("zh", 0.0), wanted.get("en", wanted.get("*", 0.0))
    first = accepted.lower().lstrip().startswith("zh")
    return "zh" if chinese > english or (first and chinese == english > 0) else "en"


def problem_of(error: QibaiError) -> Problem:
    """The error as the client sees it, in its language; a 500 says nothing of the inside."""
    status, chinese = status_of(error), LANGUAGE.get() == "zh"
    title = TITLES[status] if chinese else _TITLES[status]
    if status == 500:
        said = SENTENCES["error"] if chinese else "Something failed on our side; it was logged."
        return Problem("/docs#error", title, 500, "error", said)
    detail = in_chinese(error.code, error.message, error.usual()) if chinese else error.message
    if isinstance(error, Invalid):
        errors = [
            ProblemField(e.field, e.code, in_chinese(e.code, e.message, "") if chinese else e.message)
            for e in error.errors
        ]
    elif error.field is not None:
        errors = [ProblemField(error.field, error.code, detail)]
    else:
        errors = []
    rule: str | UnsetType = UNSET
    document: str | UnsetType = UNSET
    if isinstance(error, PolicyRefused):
        rule, document = error.rule, error.document
    return Problem(f"/docs#{error.code}", title, status, error.code, detail, errors, rule, document)


def headers_of(error: QibaiError) -> list[tuple[bytes, bytes]]:
    """What goes with the problem."""
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-language", LANGUAGE.get().encode()),
        (b"vary", b"Accept-Language"),
    ]
    status = status_of(error)
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    elif status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    elif isinstance(error, RateLimited):
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    elif isinstance(error, TraceLimited):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    return headers


_PLACE: Final = re.compile(r" - at `(?:key in )?\$?\.?([^`]*)`$")
_NAMED: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_LIMIT: Final = re.compile(r"Expected `(\w+)` (of length )?(>=|<=|>|<) (\S+)")
_KIND: Final = re.compile(r"Expected `([\w| ]+)`(?:, got .*)?", re.DOTALL)
_MORE: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_KINDS: Final = {
    **{"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"},
    **{"array": "a list", "object": "an object", "datetime": "a time by RFC 3339, with a UTC offset"},
    "null": "null",
}


def invalid(exc: Exception) -> Invalid:
    """What msgspec says, as our own: the place by name, the reason without the value."""
    if not isinstance(exc, msgspec.ValidationError):
        return Invalid([FieldError("body", "request_invalid", "this is not JSON in UTF-8")])
    field, message = wrong(str(exc))
    return Invalid([FieldError(field or "body", "request_invalid", message)])


def wrong(text: str) -> tuple[str, str]:
    """The place and the reason in a sentence of msgspec's; "": it is about all of the value."""
    found = _PLACE.search(text)
    place = found[1].removeprefix(".") if found else ""
    message = text[: found.start()] if found else text
    if named := _NAMED.fullmatch(message):
        name = mask_name(named[2])
        place = f"{place}.{name}" if place else name
        message = "there is no such field" if "unknown" in named[1] else "this field is missing"
    elif message.startswith("Invalid enum value"):
        message = "give one of the documented values"
    elif limit := _LIMIT.fullmatch(message):
        unit = ("" if limit[1] == "str" else " items") if limit[2] else ""
        unit = " characters" if limit[2] and limit[1] == "str" else unit
        message = f"give {_MORE[limit[3]]} {limit[4]}{unit}"
    elif message == "Invalid RFC3339 encoded datetime":
        message = "give a time by RFC 3339, with a UTC offset"
    elif "matching regex" in message:
        message = "it does not have the documented form"
    elif kind := _KIND.fullmatch(message):
        names = (one.strip() for one in kind[1].split("|"))
        message = "give " + " or ".join(_KINDS.get(one, one) for one in names)
    return place[:80], message
