"""What the handlers of ``/v1/admin`` share: an act with its audit entry, and reading."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from qibai.api.decode import decode
from qibai.api.gate import asked
from qibai.api.request import Asking, services_of
from qibai.core.errors import Forbidden
from qibai.service import desk as desks
from qibai.service.desk import ACT_TIMEOUT_S, Desk
from qibai.service.lender import Connection

T = TypeVar("T")


async def perform(request: Asking, act: Callable[[Desk], Awaitable[T]]) -> T:
    """Have the act done by whoever asks. Raise what ``service.desk.perform`` raises."""
    services = services_of(request)
    actor = asked(request.scope).principal.actor
    async with services.connections.get(timeout_s=ACT_TIMEOUT_S) as conn:
        return await desks.perform(
            Desk(conn, actor, services.keyring, services.config), services.witness, act
        )


async def read(request: Asking, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Look something up."""
    async with services_of(request).connections.get() as conn:
        return await work(conn)


def own_platform(request: Asking) -> str | None:
    """The application platform that asks, which sees what is its own; None: an operator, who sees all."""
    who = asked(request.scope).principal
    return None if who.platform is None else who.actor.name.removeprefix("platform:")


def for_all(request: Asking) -> None:
    """Raise Forbidden for an application platform: this is about all of them."""
    if own_platform(request) is not None:
        raise Forbidden


def body(request: Asking, decoder: msgspec.json.Decoder[T]) -> T:
    """The typed request. Raise Invalid."""
    return decode(decoder, asked(request.scope).body)


def to_model(kind: type[T], row: Any) -> T:
    """A row of the store as the API shows it: the fields that the model has."""
    fields = msgspec.structs.fields(kind)  # type: ignore[arg-type]  # all models are Structs
    return kind(**{field.name: getattr(row, field.name) for field in fields})
