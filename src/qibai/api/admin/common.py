"""What the handlers of ``/v1/admin`` share: an act with its audit entry, and reading."""

import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from qibai.api.connections import Connection
from qibai.api.decode import decode
from qibai.api.gate import asked
from qibai.api.handlers import Asking, services_of
from qibai.core.errors import BadCode, Forbidden
from qibai.core.numbering import Code
from qibai.core.pilot import pilot_time
from qibai.core.roles import Action
from qibai.store import audit

T = TypeVar("T")
MAX_CODES: Final = 100_000
ACT_TIMEOUT_S: Final = 60.0


async def change(
    request: Asking,
    what: str,
    subject: str,
    work: Callable[[Connection], Awaitable[T]],
    *,
    action: Action = Action.RESOURCE_CHANGE,
    **details: Any,
) -> T:
    """Do the work and record it in the audit trail, in one transaction."""
    services = services_of(request)
    actor = asked(request.scope).principal.actor
    async with services.acts(ACT_TIMEOUT_S) as conn:
        result = await work(conn)
        await audit.record(conn, actor, action, subject, what=what, **details)
        return result


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


def rules_now(at: datetime | None) -> datetime:
    """The time given, else now as the pilot's rules have it."""
    return at or datetime.fromtimestamp(pilot_time(time.time()), UTC)


def ranges(texts: Iterable[str]) -> list[Code]:
    """Codes and ranges. Raise BadCode when one is malformed, or when they are too many."""
    found: list[Code] = []
    for text in texts:
        first, dash, last = text.partition("-")
        begin = Code.parse(first)
        end = Code.parse(last) if dash else begin
        if not begin.value <= end.value < begin.value + MAX_CODES:
            raise BadCode(f"a range goes upwards and holds at most {MAX_CODES} codes", field="codes")
        found += [Code(value) for value in range(begin.value, end.value + 1)]
        if len(found) > MAX_CODES:
            raise BadCode(f"at most {MAX_CODES} codes at once", field="codes")
    return found


def to_model(kind: type[T], row: Any) -> T:
    """A row of the store as the API shows it: the fields that the model has."""
    fields = msgspec.structs.fields(kind)  # type: ignore[arg-type]  # all models are Structs
    return kind(**{field.name: getattr(row, field.name) for field in fields})
