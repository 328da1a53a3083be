"""Errors that only HTTP knows; all others come from ``core.errors``."""

from qibai.core.errors import BadRequest, QibaiError


class FieldError:
    """One wrong input: ``field`` as the caller spells it, a stable code, a sentence without values."""

    __slots__ = ("code", "field", "message")

    def __init__(self, field: str, code: str, message: str) -> None:
        self.field, self.code, self.message = field, code, message


class Invalid(BadRequest):
    """The request does not have the shape that the documentation gives; see errors."""

    code = "request_invalid"

    def __init__(self, errors: list[FieldError], message: str | None = None) -> None:
        super().__init__(message, field=errors[0].field if errors else None)
        self.errors = errors


class NotFound(QibaiError):
    """There is nothing at this address."""

    code = "not_found"


class MethodNotAllowed(QibaiError):
    """This address does not take this method; see the header Allow."""

    code = "method_not_allowed"


class BodyTooLarge(QibaiError):
    """The request's body is too large."""

    code = "body_too_large"


class HttpsRequired(QibaiError):
    """A bearer key is taken over HTTPS or from this machine only; use HTTPS, or sign the request."""

    code = "https_required"


class HeadersTooLarge(QibaiError):
    """The request line and the headers are too many or too long: 100 headers and 32 KiB in all at most."""

    code = "headers_too_large"


class RequestTimeout(QibaiError):
    """The complete request did not arrive in time."""

    code = "request_timeout"


class MediaTypeUnsupported(QibaiError):
    """The body is not JSON in UTF-8 without a content coding; say `Content-Type: application/json`."""

    code = "media_type_unsupported"


class RateLimited(QibaiError):
    """This key asks too often; see the headers `RateLimit-Limit` and `Retry-After`."""

    code = "rate_limited"

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers
