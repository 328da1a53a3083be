"""The ASGI application of one worker process."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp

from qibai import __version__
from qibai.api import (
    admin,
    bindings,
    calls,
    docs,
    message_policy,
    messages,
    operations,
    permit,
    pools,
    stats,
    trace,
    translations,
)
from qibai.api.errors import FieldError, Invalid, MethodNotAllowed, NotFound
from qibai.api.gate import Gate, log_failure
from qibai.api.metrics import Metrics
from qibai.api.openapi import document
from qibai.api.problems import headers_of, problem_of, status_of, wrong
from qibai.api.services import Services
from qibai.config import Config
from qibai.core.errors import QibaiError

_ENCODER = msgspec.json.Encoder()
_DESCRIPTION = (
    "Temporary 700 numbers between two parties who shall not learn each other's number. "
    "Bind real numbers, get the 700 numbers to show, release them when the order is done."
)
_ROUTES = [
    *bindings.HANDLERS,
    *translations.HANDLERS,
    *calls.HANDLERS,
    *pools.HANDLERS,
    *stats.HANDLERS,
    *messages.HANDLERS,
    *message_policy.HANDLERS,
    *admin.HANDLERS,
    *trace.HANDLERS,
    *operations.HANDLERS,
    *docs.HANDLERS,
]
_OPENAPI = OpenAPIConfig(
    title="Qibai",
    version=__version__,
    description=_DESCRIPTION,
    render_plugins=[],
    use_handler_docstrings=True,
)


def create_app(config: Config) -> ASGIApp:
    """Everything of one worker; connections are made when first needed. Raise KeyFileError."""
    services = Services(config)
    metrics = Metrics(config.run_dir, os.environ.get("PROMETHEUS_MULTIPROC_DIR"))

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await services.close()

    # The document is made of another application: Litestar adds pages of its own to one that has a document.
    described = document(Litestar(_ROUTES, guards=[permit.guard], openapi_config=_OPENAPI))
    app = Litestar(
        _ROUTES,
        guards=[permit.guard],
        lifespan=[lifespan],
        openapi_config=None,
        exception_handlers={QibaiError: _own, HTTPException: _http, Exception: _unforeseen},
        logging_config=None,
    )
    permit.actions(app)  # raises when a handler names none
    app.state.services = services
    app.state.metrics = metrics
    app.state.openapi = _ENCODER.encode(described)
    return Gate(app, services, metrics, described)


def _respond(error: QibaiError, more: dict[str, str] | None = None) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in headers_of(error)} | (more or {})
    media_type = headers.pop("content-type")
    return Response(
        _ENCODER.encode(problem_of(error)),
        status_code=status_of(error),
        media_type=media_type,
        headers=headers,
    )


def _own(_: Request[Any, Any, Any], exc: QibaiError) -> Response[bytes]:
    if status_of(exc) == 500:
        log_failure(exc)
    return _respond(exc)


def _http(_: Request[Any, Any, Any], exc: HTTPException) -> Response[bytes]:
    """Litestar's own refusals."""
    if isinstance(exc, NotFoundException):
        return _respond(NotFound())
    if isinstance(exc, MethodNotAllowedException):
        return _respond(
            MethodNotAllowed(), {k: v for k, v in (exc.headers or {}).items() if k.lower() == "allow"}
        )
    if exc.status_code < 500:
        places = exc.extra if isinstance(exc.extra, list) else []
        found = [_field(place) for place in places if isinstance(place, dict)]
        unread = FieldError("request", "request_invalid", "this cannot be read as a request of this kind")
        return _respond(Invalid(found or [unread]))
    log_failure(exc)
    return _respond(QibaiError())


def _field(place: dict[str, Any]) -> FieldError:
    """A parameter that Litestar refused: which, and its limit or form; never its value."""
    key = str(place.get("key", "request"))[:80]
    _, message = wrong(str(place.get("message", "")))
    return FieldError("Idempotency-Key" if key == "key" else key, "request_invalid", message)


def _unforeseen(_: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    log_failure(exc)
    return _respond(QibaiError())
