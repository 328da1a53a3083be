"""Client of the HTTP API: ``Client`` and ``AsyncClient``. Imports nothing else of Qibai."""

from typing import TYPE_CHECKING, Any

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
    PolicyRefused,
    PoolExhausted,
    QuotaExceeded,
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
    Message,
    Problem,
    Released,
    SendRequest,
    Translation,
)
from qibai.client.sync import Client

if TYPE_CHECKING:
    from qibai.client.aio import AsyncClient

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
    "Message",
    "NoAnswer",
    "NotFound",
    "NumberTaken",
    "PolicyRefused",
    "PoolExhausted",
    "Problem",
    "QuotaExceeded",
    "Released",
    "SendRequest",
    "Translation",
    "Unauthenticated",
    "Unavailable",
]


def __getattr__(name: str) -> Any:
    """``AsyncClient``, which programs without asyncio need not import."""
    if name == "AsyncClient":
        try:
            from qibai.client.aio import AsyncClient  # noqa: PLC0415  # as said
        except ModuleNotFoundError as exc:
            if exc.name != "niquests":
                raise
            raise ImportError("AsyncClient needs niquests: pip install 'qibai-client[asyncio]'") from None
        return AsyncClient
    raise AttributeError(name)
