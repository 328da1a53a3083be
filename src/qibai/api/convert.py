"""From requests to the store's items, and from the store's things to answers."""

from collections.abc import Callable
from datetime import datetime, timedelta

from qibai.api import models
from qibai.config import BindingConfig
from qibai.core.binding import Parties, expiry
from qibai.core.errors import BindingNotFound, LifetimeWrong
from qibai.core.ids import format_id, parse_id
from qibai.core.numbering import Msisdn, Number700, parse_province
from qibai.core.typed import without_parties
from qibai.store.bindings import Binding, BindItem, Idempotency, Released
from qibai.store.keys import Keyring


def bind_item(
    request: models.BindRequest, config: BindingConfig, now: datetime, idempotency: Idempotency | None
) -> BindItem:
    """What the store binds. Raise any error of numbers, parties, ids, lifetime and provinces."""
    parties = Parties.of(
        request.mode,
        a=None if request.a is None else Msisdn.parse(request.a, field="a"),
        members=[Msisdn.parse(member, field="members") for member in request.members],
        b=Msisdn.parse(request.b, field="b"),
    )
    without_parties(request.order_id, parties.everyone, "order_id")
    without_parties(request.industrial_id, parties.everyone, "industrial_id")
    max_call_s = config.default_max_call_s if request.max_call_s is None else request.max_call_s
    if max_call_s > config.max_call_s:
        raise LifetimeWrong(f"a call lasts at most {config.max_call_s} s", field="max_call_s")
    return BindItem(
        parties=parties,
        scene=request.scene,
        order_id=request.order_id,
        expires_at=end_of(request, config, now),
        max_call_s=max_call_s,
        messages=request.messages,
        province=None if request.province is None else parse_province(request.province).code,
        industrial_id=request.industrial_id,
        expected=None if request.x is None else Number700.parse(request.x),
        sticky=request.sticky,
        idempotency=idempotency,
    )


def end_of(
    request: models.BindRequest | models.ChangeRequest, config: BindingConfig, now: datetime
) -> datetime:
    """When the binding ends. Raise LifetimeWrong."""
    return expiry(
        now,
        ttl=None if request.ttl is None else timedelta(seconds=request.ttl),
        expires_at=request.expires_at,
        default=timedelta(seconds=config.default_ttl_s),
        maximum=timedelta(seconds=config.max_ttl_s),
    )


def idempotency_of(
    keyring: Keyring, key: str | None, body: bytes, place: int | None = None
) -> Idempotency | None:
    """Keyed digests of the client's key (and the item's place in a bulk) and of the request.

    Both may hold real numbers. Without a key, whoever reads the digests could try all mobile numbers.
    """
    if not key:
        return None
    text = key if place is None else f"{key}\n{place}"
    return Idempotency(keyring.lasting_mac(text.encode())[:16], keyring.lasting_mac(body)[:16])


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
