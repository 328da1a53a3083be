"""The outermost ASGI layer: checks who asks, reads the body, measures, turns errors into problems."""

import time
import traceback
from collections.abc import MutableMapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from litestar import Litestar
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Message, Receive, Scope, Send

from qibai.api.auth import Claim, check_beside_bearer
from qibai.api.errors import BodyTooLarge, FieldError, Invalid, MediaTypeUnsupported, NotFound
from qibai.api.metrics import Metrics
from qibai.api.path import check_host, check_path, check_query
from qibai.api.problems import LANGUAGE, headers_of, language_of, problem_of, status_of
from qibai.api.rates import Rates
from qibai.api.services import Services
from qibai.core import roles
from qibai.core.errors import Overloaded, QibaiError
from qibai.service.reach import Principal

MAX_BODY: Final = 64 * 1024
MAX_NO_BODY: Final = 1024  #: where none is documented
MAX_BULK_ITEM: Final = 2 * 1024  #: on average, in a bulk request
LARGE_BODIES: Final = 18  #: bodies above MAX_BODY that are read at once; more are refused

ACTION: Final = "action"  #: a handler's option: what is done, which a key's role has to be permitted
OPEN: Final = "open"  #: a handler's option: without a key, for everybody, or for those who are NEAR
NEAR: Final = "near"  #: this machine, and the addresses of ``api.metrics_from``
LARGE: Final = "large"  #: a handler's option: its body is a bulk

#: curl's default type is taken for JSON: there are no forms here.
_JSON: Final = frozenset({b"application/json", b"application/x-www-form-urlencoded", b""})
_ONCE: Final = frozenset(
    {b"authorization", b"content-digest", b"content-type", b"content-encoding", b"idempotency-key"}
)
_PROXIES: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
_SAFE: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

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
    """Only routes that are marked OPEN pass without a key; what a key's role may do, ``permit`` says.

    It asks the application's own router, so that it and the application cannot see two routes in one path.
    """

    def __init__(self, app: Litestar, services: Services, metrics: Metrics, doc: dict[str, Any]) -> None:
        """``doc``: the OpenAPI document, whose query parameters are the only ones."""
        self._app, self._services, self._metrics = app, services, metrics
        api = services.config.api
        self._rates = Rates(api.rate, api.workers)
        self._metrics_from = [ip_network(text, strict=False) for text in api.metrics_from]
        self._large = max(MAX_BODY, MAX_BULK_ITEM * api.max_bulk)
        self._large_bodies = 0
        self._allow = {
            route.path_format: ", ".join(sorted(route.methods)).encode()
            for route in app.routes
            if isinstance(route, HTTPRoute)
        }
        self._parameters: dict[str, dict[str, bool]] = {  # whether each is a whole number
            str(operation["operationId"]): {
                one["name"]: one["schema"].get("type") == "integer"
                for one in operation.get("parameters", ())
                if one.get("in") == "query"
            }
            for item in doc["paths"].values()
            for operation in item.values()
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-language")
        LANGUAGE.set(language_of(accepted.decode("latin-1")))
        status = 500
        more: list[tuple[bytes, bytes]] = []

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *more, *_SAFE]
                if scope["method"] == "OPTIONS":
                    self._list_methods(scope, message["headers"])
            await send(message)

        try:
            await self._pass(scope, receive, send_on, more)
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

    async def _pass(self, scope: Any, receive: Receive, send: Send, more: list[tuple[bytes, bytes]]) -> None:
        check_host(scope)
        check_path(scope)
        options, known = self._route(scope)
        if not options.get(OPEN) or self._needs_key(options, scope):
            headers = _headers(scope)
            query: bytes = scope["query_string"]
            target = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
            if query:
                target += "?" + query.decode("latin-1")
            claim = await self._services.auth.identify(scope, headers, scope["method"], target)
            more += [
                (name.encode(), value.encode()) for name, value in self._rates.count(claim.key_id).items()
            ]
            if ACTION in options:
                roles.require(claim.principal.role, options[ACTION])
            if known is not None:
                check_query(query, known)
            body = await self._body(receive, options, headers, claim)
            if claim.signed is None and known is not None:
                check_beside_bearer(headers, body)
            await self._services.auth.confirm(claim, body)
            scope["qibai"] = Asked(claim.principal, headers, body)
            receive = _Again(receive, body)
        elif b"\x00" in unquote_to_bytes(scope["query_string"]):
            raise Invalid([FieldError("query", "request_invalid", "NUL is not text")])
        await self._app(cast(Scope, scope), receive, send)

    def _route(self, scope: Any) -> tuple[dict[str, Any], dict[str, bool] | None]:
        """What the matched handler is marked with, and its query parameters; the latter None: refused later.

        Raise NotFound when there is no route, or one that neither is open nor names an action.
        """
        router = self._app.asgi_router
        try:
            _, handler, _, _, _ = router.handle_routing(path=scope["path"], method=scope["method"])
        except NotFoundException:
            raise NotFound from None
        except MethodNotAllowedException:
            return {}, None
        if not isinstance(handler, HTTPRouteHandler):
            raise NotFound
        if scope["method"] == "OPTIONS":  # Litestar's own handler
            return {}, None
        if not handler.opt.get(OPEN) and ACTION not in handler.opt:
            raise NotFound
        return handler.opt, self._parameters.get(str(handler.operation_id), {})

    def _needs_key(self, options: dict[str, Any], scope: Any) -> bool:
        """Whether a route that is open to some is not open to who asks."""
        if options[OPEN] != NEAR:
            return False
        if any(name in _PROXIES for name, _ in scope["headers"]):
            return True
        try:
            address = ip_address(scope["client"][0])
        except (TypeError, ValueError):
            return True
        return not address.is_loopback and not any(address in network for network in self._metrics_from)

    async def _body(
        self, receive: Receive, options: dict[str, Any], headers: dict[bytes, bytes], claim: Claim
    ) -> bytes:
        limit = self._large if options.get(LARGE) else MAX_BODY if "body" in options else MAX_NO_BODY
        length = headers.get(b"content-length", b"")
        declared = int(length) if length.isdigit() else None
        if declared is not None and declared > limit:
            raise BodyTooLarge
        if declared or b"transfer-encoding" in headers:
            _check_type(headers)
        if limit <= MAX_BODY or (declared is not None and declared <= MAX_BODY):
            return await _read(receive, limit)
        if not claim.proven:
            message = f"sign bodies of more than {MAX_BODY} octets together with this header (RFC 9530)"
            raise Invalid([FieldError("Content-Digest", "request_invalid", message)])
        if self._large_bodies >= LARGE_BODIES:
            raise Overloaded
        self._large_bodies += 1
        try:
            return await _read(receive, limit)
        finally:
            self._large_bodies -= 1


def _headers(scope: Any) -> dict[bytes, bytes]:
    """By name. Raise Invalid when a header that decides is there twice."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and (name in _ONCE or name.startswith(b"qibai-")):
            raise Invalid([FieldError(name.decode("latin-1"), "request_invalid", "give this header once")])
        headers[name] = value
    return headers


def _check_type(headers: dict[bytes, bytes]) -> None:
    """Raise MediaTypeUnsupported unless the body may be JSON in UTF-8."""
    kind, *parameters = headers.get(b"content-type", b"application/json").lower().split(b";")
    if kind.strip() not in _JSON or headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise MediaTypeUnsupported
    for parameter in parameters:
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'"') not in (b"utf-8", b"utf8", b"us-ascii"):
            raise MediaTypeUnsupported


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
