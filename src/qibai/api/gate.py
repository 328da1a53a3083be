"""The outermost ASGI layer: reads the body, checks who asks, measures, and turns errors into problems."""

import time
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import structlog
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.types import Message, Receive, Scope, Send

from qibai.api.auth import Principal
from qibai.api.errors import BodyTooLarge
from qibai.api.metrics import Metrics
from qibai.api.problems import headers_of, problem_of, status_of
from qibai.api.services import Services
from qibai.core.errors import QibaiError

MAX_BODY: Final = 64 * 1024
MAX_BULK_ITEM: Final = 2 * 1024  #: on average, in a bulk request

_ENCODER: Final = msgspec.json.Encoder()
_log = structlog.get_logger("qibai.api")


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Asked:
    """What the gate learnt of a request: who asks, the headers (last one wins) and the whole body."""

    __slots__ = ("body", "headers", "principal")

    def __init__(self, principal: Principal, headers: dict[bytes, bytes], body: bytes) -> None:
        self.principal, self.headers, self.body = principal, headers, body


def asked(scope: object) -> Asked:
    """What the gate left for the handlers of ``/v1``."""
    return cast(Asked, cast(MutableMapping[str, Any], scope)["qibai"])


class Gate:
    """Everything under ``/v1`` passes only with a valid key; what its role may do, ``permit`` says."""

    def __init__(self, app: Litestar, services: Services, metrics: Metrics) -> None:
        self._app, self._services, self._metrics = app, services, metrics
        self._allow = {
            route.path_format: ", ".join(sorted(route.methods)).encode()
            for route in app.routes
            if isinstance(route, HTTPRoute)
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["method"] == "OPTIONS":
                    self._list_methods(scope, message["headers"])
            await send(message)

        try:
            await self._pass(scope, receive, send_on)
        except ClientGone:
            status = 499
        except QibaiError as exc:
            await answer_problem(send_on, exc)
        except Exception as exc:
            log_failure(exc)
            await answer_problem(send_on, QibaiError())
        finally:
            route = scope.get("path_template") or "other"
            self._metrics.request(scope["method"], str(route), status, time.perf_counter() - began)

    def _list_methods(self, scope: Any, headers: Any) -> None:
        """Litestar's own list leaves out what a path's second and later handlers take."""
        allow = self._allow.get(scope.get("path_template", ""))
        if allow is not None:
            headers[:] = [(name, allow if name == b"allow" else value) for name, value in headers]

    async def _pass(self, scope: Any, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith("/v1/"):
            headers = dict(scope["headers"])
            limit = MAX_BODY
            if path.startswith("/v1/bindings/bulk"):
                limit = max(MAX_BODY, MAX_BULK_ITEM * self._services.config.api.max_bulk)
            body = await _read(receive, limit)
            query = scope["query_string"]
            target = (scope.get("raw_path") or path.encode()).decode("latin-1")
            if query:
                target += "?" + query.decode("latin-1")
            principal = await self._services.auth.check(scope, headers, scope["method"], target, body)
            scope["qibai"] = Asked(principal, headers, body)
            receive = _Again(receive, body)
        await self._app(cast(Scope, scope), receive, send)


class _Again:
    """Lets the next layer read the body once more."""

    def __init__(self, receive: Receive, body: bytes) -> None:
        self._receive, self._body = receive, body
        self._given = False

    async def __call__(self) -> Any:
        if self._given:
            return await self._receive()
        self._given = True
        return {"type": "http.request", "body": self._body, "more_body": False}


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = cast(bytes, message.get("body", b""))
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def answer_problem(send: Send, error: QibaiError) -> None:
    """Send the error as a problem."""
    body = _ENCODER.encode(problem_of(error))
    headers = [*headers_of(error), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def log_failure(exc: BaseException) -> None:
    """Log what failed and where; never the text, which may hold numbers."""
    frames = traceback.extract_tb(exc.__traceback__)
    where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    _log.error("request_failed", error=type(exc).__name__, where=where)
