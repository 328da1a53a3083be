"""``/v1/trace``: whose a 700 number was at a time; real numbers only with a second person's approval."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
import structlog
from litestar import post
from msgspec import Meta

from qibai.api import models
from qibai.api.admin.common import body, perform
from qibai.api.gate import asked
from qibai.api.metrics import traced_by_party
from qibai.api.request import Asking, services_of
from qibai.core.binding import Mode, Scene, Status
from qibai.core.errors import TraceLimited
from qibai.core.ids import format_id
from qibai.core.numbering import Msisdn, Number700
from qibai.core.roles import Action
from qibai.service import tracing
from qibai.service.tracing import Binding, CallRecord
from qibai.store.keys import Keyring

Masked = Annotated[str, Meta(description="A real number without its middle.", examples=["138****8000"])]
RowId = Annotated[str, Meta(max_length=64, pattern=models.ID_PATTERN, examples=["b12345678-0abcdefghjkmn"])]


class TraceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose was `number` at `at`, give or take `window_s` seconds?"""

    number: Annotated[str, Meta(pattern=models.NUMBER_PATTERN, examples=["700123456781234"])]
    at: models.Instant
    party: (
        Annotated[
            models.Msisdn, Meta(description="Only bindings of this real number: 10 times an hour, 30 a day.")
        ]
        | None
    ) = None
    window_s: Annotated[int, Meta(ge=0, le=86_400)] = 300


class TracedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call to, or shown as coming from, the number in that time."""

    id: str
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    called: str | None
    shown: str | None
    caller: Masked | None
    callee: Masked | None
    caller_peer: Annotated[str, Meta(description="The peer that sent it, or a stranger's address.")] | None


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """A binding that held the number then."""

    id: Annotated[str, Meta(examples=["b12345678-0abcdefghjkmn"])]
    platform: Annotated[str, Meta(description="The application platform.")] | None
    tenant: str | None
    order_id: str
    industrial_id: str | None
    scene: Scene
    mode: Mode
    x: str
    y: str | None
    a: Masked | None
    members: list[Masked]
    b: Masked
    status: Status
    created_at: datetime
    expires_at: datetime
    released_at: datetime | None
    calls: list[TracedCall]


class Trace(msgspec.Struct, frozen=True):
    """What was found, that with calls first; `more`: name the party, or narrow the window, to see all.

    `refused`: calls to the number then by callers without a binding, unless a party was named.
    """

    items: list[Traced]
    more: bool
    refused: list[TracedCall]


class RevealRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The binding, or the call, whose real numbers are needed, and why."""

    id: RowId
    why: models.Label


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """Real numbers, this once: of a binding `a` or `members` and `b`, of a call `caller` and `callee`."""

    id: str
    a: models.Msisdn | None = None
    members: list[models.Msisdn] = []
    b: models.Msisdn | None = None
    caller: models.Msisdn | None = None
    callee: models.Msisdn | None = None


_log = structlog.get_logger("qibai.trace")
_TRACE: Final = msgspec.json.Decoder(TraceRequest)
_REVEAL: Final = msgspec.json.Decoder(RevealRequest)


@post(
    "/v1/trace",
    operation_id="trace",
    summary="Trace a 700 number",
    tags=["trace"],
    status_code=200,
    opt={"action": Action.TRACE, "body": TraceRequest},
)
async def trace_number(request: Asking) -> Trace:
    """From a number and a time to the binding, its order, tenant and application platform. Audited.

    With `party`: 10 times in an hour and 30 times in a day for each person, refused and reported beyond it.
    """
    wish = body(request, _TRACE)
    number = Number700.parse(wish.number)
    party = None if wish.party is None else Msisdn.parse(wish.party, field="party")
    keyring, window = services_of(request).keyring, timedelta(seconds=wish.window_s)
    at = min(max(wish.at, datetime(2000, 1, 1, tzinfo=UTC)), datetime(2999, 1, 1, tzinfo=UTC))
    if party is not None:
        await _count(request, number, party)
    found = await perform(
        request, lambda desk: tracing.trace_number(desk, number, at, party=party, window=window)
    )
    items = [_traced(one, keyring) for one in found.bindings]
    return Trace(items, found.more, [_call(call, keyring) for call in found.refused])


@post(
    "/v1/trace/reveal",
    operation_id="reveal",
    summary="Reveal real numbers",
    tags=["trace"],
    status_code=200,
    opt={"action": Action.TRACE_REVEAL, "body": RevealRequest},
)
async def reveal(request: Asking) -> Revealed:
    """Asks for it; once an operator other than who asks has approved, the same request shows them once."""
    wish = body(request, _REVEAL)
    services = services_of(request)
    async with services.connections.get() as conn:  # nobody shall approve what is not there
        await tracing.find(conn, services.keyring, wish.id)
    row = await perform(request, lambda desk: tracing.reveal(desk, wish.id, wish.why))
    return _revealed(wish.id, row, services.keyring)


async def _count(request: Asking, number: Number700, party: Msisdn) -> None:
    """Raise TraceLimited."""
    too_many = await perform(request, lambda desk: tracing.count_party(desk, number, party))
    if too_many is None:
        traced_by_party("answered")
        return
    traced_by_party("refused")
    actor = asked(request.scope).principal.actor
    _log.warning(
        "too many traces by party",
        actor=actor.name,
        via=actor.via,
        answered_last_day=too_many.answered,
        refused_this_hour=too_many.refused,
    )
    raise TraceLimited(too_many.retry_after_s)


def _revealed(id: str, row: Binding | CallRecord, keyring: Keyring) -> Revealed:
    if isinstance(row, CallRecord):
        caller, callee = row.opened(keyring)
        return Revealed(id=id, caller=_whole(caller), callee=_whole(callee))
    return Revealed(id=id, a=_whole(row.a), members=[one.e164 for one in row.members], b=row.b.e164)


def _traced(one: tracing.Traced, keyring: Keyring) -> Traced:
    row = one.binding
    return Traced(
        id=format_id("b", row.code, row.id),
        platform=one.platform,
        tenant=one.tenant,
        order_id=row.order_id,
        industrial_id=row.industrial_id,
        scene=row.scene,
        mode=row.mode,
        x=str(row.x),
        y=None if row.y is None else str(row.y),
        a=None if row.a is None else row.a.masked,
        members=[member.masked for member in row.members],
        b=row.b.masked,
        status=row.status(datetime.now(UTC)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        released_at=row.released_at,
        calls=[_call(call, keyring) for call in one.calls],
    )


def _call(row: CallRecord, keyring: Keyring) -> TracedCall:
    caller, callee = row.opened(keyring)
    return TracedCall(
        id=format_id("c", row.code, row.id),
        started_at=row.started_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        reason=row.reason,
        called=None if row.called_number is None else str(row.called_number),
        shown=None if row.shown_number is None else str(row.shown_number),
        caller=None if caller is None else caller.masked,
        callee=None if callee is None else callee.masked,
        caller_peer=row.caller_peer,
    )


def _whole(number: Msisdn | None) -> str | None:
    return None if number is None else number.e164


HANDLERS: Final = (trace_number, reveal)
