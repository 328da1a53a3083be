"""What the client raises: a class by the problem's code, or by its status where the code is new."""

from typing import Final

import msgspec

from qibai.client.models import Problem


class ClientError(Exception):
    """The request did not succeed."""


class NoAnswer(ClientError):
    """The platform could not be reached, or did not answer in time, also after retries."""

    def __init__(self, method: str, target: str, certificate: str | None = None) -> None:
        """``certificate``: why the platform's certificate was not accepted, if that was the reason."""
        path = target.partition("?")[0]  # a query may name parties
        super().__init__(f"{method} {path}: no answer")
        self.certificate = certificate


class ApiError(ClientError):
    """The platform answered with a problem: ``code`` is stable, ``status`` is the answer's HTTP status."""

    def __init__(self, problem: Problem, status: int | None = None) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.problem = problem
        self.status = problem.status if status is None else status

    @property
    def code(self) -> str:
        return self.problem.code


class Invalid(ApiError):
    """The request is wrong; see ``problem.errors``."""


class Unauthenticated(ApiError):
    """The key or signature is not valid."""


class Forbidden(ApiError):
    """The key may not do this."""


class NotFound(ApiError):
    """No such thing."""


class Conflict(ApiError):
    """Not in the present state."""


class PoolExhausted(Conflict):
    """No number is free for these parties."""


class NumberTaken(Conflict):
    """The number wanted is not free."""


class PolicyRefused(Forbidden):
    """A rule forbids it; see ``problem.rule`` and ``problem.document``."""


class QuotaExceeded(Conflict):
    """The tenant has as many live bindings as its quota allows."""


class BindingEnded(Conflict):
    """The binding is over."""


class CallEnded(Conflict):
    """The call is over."""


class IdempotencyMismatch(Invalid):
    """The idempotency key was used for another request."""


class Unavailable(ApiError):
    """Overloaded or broken, also after retries."""


_BY_CODE: Final[dict[str, type[ApiError]]] = {
    "pool_exhausted": PoolExhausted,
    "number_taken": NumberTaken,
    "policy_refused": PolicyRefused,
    "quota_exceeded": QuotaExceeded,
    "binding_ended": BindingEnded,
    "call_ended": CallEnded,
    "idempotency_mismatch": IdempotencyMismatch,
}
_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    429: Unavailable,
    500: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of(status: int, body: bytes) -> ApiError:
    """The exception for an answer that is no success."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # not from the platform: a proxy's page
        problem = Problem(status=status, code="error", detail=f"HTTP status {status}")
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(status, ApiError)
    return kind(problem, status)
