"""Client of the HTTP API: ``Client`` and ``AsyncClient``. Imports nothing else of Qibai."""

from qibai.client.aio import AsyncClient
from qibai.client.errors import (
    ApiError,
    BindingEnded,
    CallEnded,
    ClientError,
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    Invalid,
    NoAnswer,
    NotFound,
    NumberTaken,
    PoolExhausted,
    Unauthenticated,
    Unavailable,
)
from qibai.client.models import (
    Binding,
    BindRequest,
    BulkBound,
    BulkReleased,
    Call,
    Code,
    Problem,
    Released,
    Translation,
)
from qibai.client.sync import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "BindRequest",
    "Binding",
    "BindingEnded",
    "BulkBound",
    "BulkReleased",
    "Call",
    "CallEnded",
    "Client",
    "ClientError",
    "Code",
    "Conflict",
    "Forbidden",
    "IdempotencyMismatch",
    "Invalid",
    "NoAnswer",
    "NotFound",
    "NumberTaken",
    "PoolExhausted",
    "Problem",
    "Released",
    "Translation",
    "Unauthenticated",
    "Unavailable",
]
