"""Errors that only HTTP knows; all others come from ``core.errors``."""

from qibai.core.errors import BadRequest, QibaiError, Unavailable


class FieldError:
    """One wrong input: ``field`` as the caller spells it, a stable code, a sentence without values."""

    __slots__ = ("code", "field", "message")

    def __init__(self, field: str, code: str, message: str) -> None:
        self.field, self.code, self.message = field, code, message


class Invalid(BadRequest):
    """The request does not have the shape that the documentation gives; see errors."""

    code = "request_invalid"

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(field=errors[0].field if errors else None)
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


class Overloaded(Unavailable):
    """Too many requests are waiting; try again shortly."""

    code = "overloaded"
