"""Carriers and application platforms."""

from typing import Annotated, Final

import msgspec
from litestar import get, post, put
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import body, for_all, own_platform, perform, read, to_model
from qibai.api.request import Asking
from qibai.core.roles import Action
from qibai.service import platforms

_NAMED: Final = msgspec.json.Decoder(models.Named)
_PLACED: Final = msgspec.json.Decoder(models.Placed)


@get(
    "/v1/admin/carriers",
    operation_id="list_carriers",
    summary="List carriers",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def list_carriers(request: Asking) -> list[models.Carrier]:
    """Carriers by the fourth digit of their numbers, and how many of their codes are set aside."""
    for_all(request)
    return [to_model(models.Carrier, row) for row in await read(request, platforms.list_carriers)]


@put(
    "/v1/admin/carriers/{digit:int}",
    operation_id="set_carrier",
    summary="Name a carrier",
    tags=["admin"],
    opt={"action": Action.RESOURCE_CHANGE, "body": models.Named},
)
async def set_carrier(
    request: Asking, digit: Annotated[int, Parameter(description="Its digit.", ge=0, le=9)]
) -> models.Carrier:
    """The carrier whose numbers begin with 700 and this digit."""
    name = body(request, _NAMED).name
    await perform(request, lambda desk: platforms.name_carrier(desk, digit, name))
    return models.Carrier(digit, name)


@get(
    "/v1/admin/platforms",
    operation_id="list_platforms",
    summary="List application platforms",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def list_platforms(request: Asking) -> list[models.Platform]:
    """Application platforms by name, each with its latest approval, its codes and tenants."""
    own = own_platform(request)
    found = await read(request, lambda conn: platforms.list_platforms(conn, own))
    return [to_model(models.Platform, row) for row in found]


@post(
    "/v1/admin/platforms",
    operation_id="add_platform",
    summary="Add an application platform",
    tags=["admin"],
    opt={"action": Action.RESOURCE_CHANGE, "body": models.Named},
)
async def add_platform(request: Asking) -> models.Platform:
    """An application-platform provider; tenants and codes are put under it."""
    name = body(request, _NAMED).name
    await perform(request, lambda desk: platforms.add(desk, name))
    return models.Platform(name=name)


@post(
    "/v1/admin/platforms/tenants",
    operation_id="place_tenant",
    summary="Put a tenant under an application platform",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.RESOURCE_CHANGE, "body": models.Placed},
)
async def place_tenant(request: Asking) -> models.Placed:
    """A tenant sits under one application platform, and cannot take its codes to another."""
    placed = body(request, _PLACED)
    await perform(request, lambda desk: platforms.place(desk, placed.tenant, placed.platform))
    return placed


HANDLERS: Final = (list_carriers, set_carrier, list_platforms, add_platform, place_tenant)
