"""For operators and readers: health, readiness, metrics, the OpenAPI document."""

from typing import Final

from litestar import MediaType, Response, get

from qibai.api.gate import ACTION, NEAR, OPEN
from qibai.api.metrics import Metrics
from qibai.api.metrics.node import NodeMetrics
from qibai.api.request import Asking, services_of
from qibai.core.roles import Action


@get("/healthz", include_in_schema=False, media_type=MediaType.TEXT, opt={OPEN: True})
async def health() -> str:
    """The process answers."""
    return "ok\n"


@get("/readyz", include_in_schema=False, media_type=MediaType.TEXT, opt={OPEN: True})
async def ready(request: Asking) -> str:
    """The database answers and its schema is this release's; else a problem with status 503."""
    await services_of(request).check_ready()
    return "ready\n"


@get("/metrics", include_in_schema=False, opt={OPEN: NEAR, ACTION: Action.METRICS_READ})
async def metrics(request: Asking) -> Response[bytes]:
    """Prometheus' text format, for all workers together: to near addresses, else to an operator's key."""
    services = services_of(request)
    measured: Metrics = request.app.state.metrics
    measured.load(
        binds=services.bindings.binds_waiting,
        releases=services.bindings.releases_waiting,
        connections_free=services.connections.free,
    )
    text = measured.text(
        await services.watcher.collector(), await services.engines.collector(), NodeMetrics(services.config)
    )
    return Response(text, media_type="text/plain; version=0.0.4")


@get("/openapi.json", include_in_schema=False, opt={OPEN: True})
async def openapi(request: Asking) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(request.app.state.openapi, media_type="application/json")


HANDLERS: Final = (health, ready, metrics, openapi)
