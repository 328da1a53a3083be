"""RFC 9457: every error as ``application/problem+json``, by one table from stable code to HTTP status."""

import re
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from qibai.api.errors import FieldError, Invalid, RateLimited
from qibai.core.errors import PolicyRefused, QibaiError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1

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
    "overloaded": 503,
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
    title: Annotated[str, Meta(description="The HTTP status in words.")]
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


def problem_of(error: QibaiError) -> Problem:
    """The error as the client sees it; a 500 says nothing of the inside."""
    status = status_of(error)
    if status == 500:
        return Problem(
            "/docs#error", _TITLES[500], 500, "error", "Something failed on our side; it was logged."
        )
    if isinstance(error, Invalid):
        errors = [ProblemField(e.field, e.code, e.message) for e in error.errors]
    elif error.field is not None:
        errors = [ProblemField(error.field, error.code, error.message)]
    else:
        errors = []
    rule: str | UnsetType = UNSET
    document: str | UnsetType = UNSET
    if isinstance(error, PolicyRefused):
        rule, document = error.rule, error.document
    return Problem(
        f"/docs#{error.code}", _TITLES[status], status, error.code, error.message, errors, rule, document
    )


def headers_of(error: QibaiError) -> list[tuple[bytes, bytes]]:
    """What goes with the problem."""
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    status = status_of(error)
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    elif status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    elif isinstance(error, RateLimited):
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return headers


_PLACE: Final = re.compile(r" - at `(?:key in )?\$?\.?([^`]*)`$")
_SAFE_WORDS: Final = ("Invalid enum value", "Object contains unknown field")


def invalid(exc: Exception) -> Invalid:
    """What msgspec says, as our own: the place by name, the reason without the value."""
    text = str(exc)
    found = _PLACE.search(text)
    field = found[1].removeprefix(".") if found else ""
    message = text[: found.start()] if found else text
    for word in _SAFE_WORDS:
        if message.startswith(word):
            message = word
    if not isinstance(exc, msgspec.ValidationError):
        message = "this is not JSON in UTF-8"
    return Invalid([FieldError(field[:80] or "body", "request_invalid", message)])
