"""From requests to what services take, and from what they return to answers."""

from collections.abc import Callable
from datetime import datetime, timedelta

from qibai.api import models
from qibai.core.binding import Parties
from qibai.core.errors import BindingNotFound
from qibai.core.ids import format_id, parse_id
from qibai.core.numbering import Msisdn, Number700, parse_province
from qibai.service.bindings import Binding, Once, Released, Wanted


def wanted(request: models.BindRequest, once: Once | None) -> Wanted:
    """The binding asked for. Raise any error of numbers, parties and provinces."""
    return Wanted(
        parties=Parties.of(
            request.mode,
            a=None if request.a is None else Msisdn.parse(request.a, field="a"),
            members=[Msisdn.parse(member, field="members") for member in request.members],
            b=Msisdn.parse(request.b, field="b"),
        ),
        scene=request.scene,
        order_id=request.order_id,
        ttl=seconds(request.ttl),
        expires_at=request.expires_at,
        max_call_s=request.max_call_s,
        messages=request.messages,
        province=None if request.province is None else parse_province(request.province),
        industrial_id=request.industrial_id,
        x=None if request.x is None else Number700.parse(request.x),
        sticky=request.sticky,
        once=once,
    )


def seconds(count: int | None) -> timedelta | None:
    """A length of time, where one was given."""
    return None if count is None else timedelta(seconds=count)


def once(key: str | None, request: bytes, place: int | None = None) -> Once | None:
    """What makes the request harmless to repeat, where the client gave a key; ``place``: in a bulk."""
    if not key:
        return None
    return Once(key if place is None else f"{key}\n{place}", request)


def binding_id(text: str) -> tuple[int, int]:
    """(code, id). Raise BindingNotFound: what is no id names no binding."""
    found = parse_id("b", text)
    if found is None:
        raise BindingNotFound
    return found


def whole(number: Msisdn) -> str:
    """A real number for the tenant that gave it."""
    return number.e164


def binding(row: Binding, now: datetime, shown: Callable[[Msisdn], str] = whole) -> models.Binding:
    """A binding, its real numbers as ``shown`` has them."""
    parties = row.parties
    return models.Binding(
        id=format_id("b", row.code, row.id),
        mode=row.mode,
        a=None if parties.a is None else shown(parties.a),
        b=shown(parties.b),
        members=[shown(member) for member in parties.members],
        x=str(row.x),
        y=None if row.y is None else str(row.y),
        status=row.status(now),
        order_id=row.order_id,
        scene=row.scene,
        province=row.province,
        industrial_id=row.industrial_id,
        max_call_s=row.max_call_s,
        messages=row.messages,
        created_at=row.created_at,
        expires_at=row.expires_at,
        released_at=row.released_at,
    )


def released(row: Released) -> models.Released:
    """The end of a binding."""
    return models.Released(format_id("b", row.code, row.id), row.status, row.ended_at)
