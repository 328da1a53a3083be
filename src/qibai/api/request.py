"""What handlers share: the request, the worker's services, and parameters that many of them have."""

from typing import Annotated, Any

from litestar import Request
from litestar.params import Parameter

from qibai.api import models
from qibai.api.decode import IDEMPOTENCY_KEY_PATTERN
from qibai.api.gate import asked
from qibai.api.services import Services
from qibai.service.reach import Reach, Survey, reach, survey

Asking = Request[Any, Any, Any]
Since = Annotated[
    str | None,
    Parameter(description="Only those that began then or later.", schema_extra={"format": "date-time"}),
]
Until = Annotated[
    str | None,
    Parameter(description="Only those that began before.", schema_extra={"format": "date-time"}),
]
OfBinding = Annotated[
    str | None,
    Parameter(description="Only of this binding.", max_length=64, pattern=models.ID_PATTERN),
]
Limit = Annotated[int, Parameter(description="How many at most.", ge=1, le=1000)]
IdempotencyKey = Annotated[
    str | None,
    Parameter(
        header="Idempotency-Key",
        description="Makes repeating harmless: the same key and body get the same answer.",
        pattern=IDEMPOTENCY_KEY_PATTERN,
    ),
]

Whose = Annotated[
    str | None,
    Parameter(
        query="tenant",
        description="With a key that is no tenant's: whose; real numbers are masked then.",
        max_length=64,
        pattern=r"^[^\x00]+$",
    ),
]
All = Annotated[
    bool,
    Parameter(
        query="all",
        description="With a key that is no tenant's: of all tenants that the key reaches.",
    ),
]


def services_of(request: Asking) -> Services:
    """The worker's services."""
    services: Services = request.app.state.services
    return services


async def reached(request: Asking, tenant: str | None) -> Reach:
    """Whose things the key asks for. Raise as ``reach``."""
    return await reach(services_of(request).connections, asked(request.scope).principal, tenant)


async def surveyed(request: Asking, tenant: str | None, *, everyone: bool) -> Survey:
    """Whose calls the key asks for. Raise as ``survey``."""
    who = asked(request.scope).principal
    return await survey(services_of(request).connections, who, tenant, everyone=everyone)


def seen(request: Asking, *numbers: str | None) -> None:
    """Count the real numbers in an answer, where the key gets them whole."""
    services_of(request).key_reads.shown(asked(request.scope).principal, *numbers)
