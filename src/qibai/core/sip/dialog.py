"""What is needed to reach one side of a call again, and how the names of one side map to the other's."""

import hashlib
import secrets
from typing import Final

import msgspec

from qibai.core.errors import BadMessage
from qibai.core.sip.address import has_headers, read_address
from qibai.core.sip.message import Message

MAX_ROUTES: Final = 20
MAX_LEG: Final = 2_500  #: characters, so that a token stays well below what a message can hold


class Leg(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One side of a call as that side knows it: a request to it is made of this and nothing else."""

    contact: str  #: the URI that requests go to
    routes: tuple[str, ...]  #: route set, the nearest first
    local_uri: str  #: From of a request that we send
    local_tag: str  #: "" until the other side has given its own: then ``mapped`` of it
    remote_uri: str  #: To
    remote_tag: str
    call_id: str


def leg_of_request(request: Message, routes: tuple[str, ...] = ()) -> Leg:
    """How to reach the sender of ``request``. ``routes`` counts where the request records none.

    Raise BadMessage when it has no Contact.
    """
    recorded = request.items("record-route")
    leg = Leg(
        _contact(request),
        _routes(recorded) if recorded else routes,
        request.to_uri,
        request.to_tag,
        request.from_uri,
        request.from_tag,
        request.call_id,
    )
    return _bounded(leg)


def leg_of_response(response: Message, routes: tuple[str, ...] | None = None) -> Leg:
    """How to reach the sender of ``response``; ``routes`` of the dialog where it is already set up.

    Raise BadMessage when it has no Contact.
    """
    leg = Leg(
        _contact(response),
        _routes(response.items("record-route"))[::-1] if routes is None else routes,
        response.from_uri,
        response.from_tag,
        response.to_uri,
        response.to_tag,
        response.call_id,
    )
    return _bounded(leg)


def next_hop(leg: Leg) -> str:
    """The URI to send a request of this leg to."""
    return leg.routes[0] if leg.routes else leg.contact


def _bounded(leg: Leg) -> Leg:
    names = (
        leg.contact,
        leg.local_uri,
        leg.local_tag,
        leg.remote_uri,
        leg.remote_tag,
        leg.call_id,
        *leg.routes,
    )
    if sum(map(len, names)) > MAX_LEG:
        raise BadMessage("the names of the call are too long", status=513)
    return leg


def _contact(message: Message) -> str:
    uri = message.contact
    if uri is None or uri[:4].lower() not in ("sip:", "sips") or has_headers(uri):
        raise BadMessage("there is no Contact to answer to")
    return uri


def _routes(items: list[str]) -> tuple[str, ...]:
    if len(items) > MAX_ROUTES:
        raise BadMessage("more than 20 hops record their route", status=513)
    return tuple(read_address(item)[0] for item in items)


def new_call_id() -> str:
    """A Call-ID of our own: 120 random bits, known to one side alone, so ``mapped`` is keyed with it."""
    return secrets.token_urlsafe(15)


def mapped(call_id: str, name: str) -> str:
    """The other side's word for a tag or branch: the same always, and no way back without ``call_id``."""
    return hashlib.blake2b(name.encode(), key=call_id.encode()[:64], digest_size=8).hexdigest()
