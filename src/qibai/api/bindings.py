"""``/v1/bindings`` and ``/v1/codes``: a tenant's bindings, and what they are drawn from."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import Parameter

from qibai.api import convert, models
from qibai.api.decode import decode, idempotency_key, no_nulls
from qibai.api.gate import LARGE, asked
from qibai.api.legible import legible
from qibai.api.problems import problem_of, status_of
from qibai.api.request import Asking, IdempotencyKey, Limit, Whose, reached, seen, services_of
from qibai.core.binding import Mode, Status
from qibai.core.errors import BadRequest, QibaiError
from qibai.core.ids import format_id
from qibai.core.numbering import Code, Msisdn, Number700
from qibai.core.roles import Action
from qibai.service.bindings import BindingAt, Released, Wanted

BindingId = Annotated[str, Parameter(description="A binding's id.", max_length=64, pattern=models.ID_PATTERN)]


class _BulkItems(msgspec.Struct, forbid_unknown_fields=True):
    """A bulk whose items are decoded one by one, so that each fails by itself."""

    items: list[msgspec.Raw]


_BIND: Final = msgspec.json.Decoder(models.BindRequest)
_CHANGE: Final = msgspec.json.Decoder(models.ChangeRequest)
_MEMBERS: Final = msgspec.json.Decoder(models.MembersRequest)
_BULK_ITEMS: Final = msgspec.json.Decoder(_BulkItems)
_BULK_IDS: Final = msgspec.json.Decoder(models.BulkReleaseRequest)


def _seen(request: Asking, *shown: models.Binding) -> None:
    seen(request, *(number for one in shown for number in (one.a, one.b, *one.members)))


def _shown(request: Asking, found: BindingAt) -> models.Binding:
    """A binding for the tenant itself."""
    binding = convert.binding(found.binding, found.at)
    _seen(request, binding)
    return binding


def _members(request: Asking) -> list[Msisdn]:
    wanted = decode(_MEMBERS, asked(request.scope).body)
    return [Msisdn.parse(member, field="members") for member in wanted.members]


def _check_size(request: Asking, count: int, field: str) -> None:
    most = services_of(request).config.api.max_bulk
    if not 1 <= count <= most:
        raise BadRequest(f"give 1 to {most} {field}", field=field)


def _each_wanted(items: Sequence[msgspec.Raw], key: str | None) -> Iterator[Wanted | QibaiError]:
    for place, raw in enumerate(items):
        body = bytes(raw)
        try:
            yield convert.wanted(decode(_BIND, body), convert.once(key, body, place))
        except QibaiError as exc:
            yield exc


def _each_id(ids: Sequence[str]) -> Iterator[tuple[int, int] | QibaiError]:
    for id in ids:
        try:
            yield convert.binding_id(id)
        except QibaiError as exc:
            yield exc


def _bulk_bound(result: BindingAt | QibaiError) -> models.BulkBound:
    if isinstance(result, QibaiError):
        return models.BulkBound(status=status_of(result), problem=problem_of(result))
    binding = convert.binding(result.binding, result.at)
    return models.BulkBound(status=201, binding=binding, replayed=result.replayed)


def _bulk_released(result: Released | QibaiError) -> models.BulkReleased:
    if isinstance(result, QibaiError):
        return models.BulkReleased(status=status_of(result), problem=problem_of(result))
    return models.BulkReleased(status=200, released=convert.released(result))


@post(
    "/v1/bindings",
    operation_id="bind",
    summary="Bind",
    tags=["bindings"],
    opt={"action": Action.BIND, "body": models.BindRequest},
)
async def bind(request: Asking, key: IdempotencyKey = None) -> Response[models.Binding]:
    """Bind real numbers to one or two 700 numbers. The answer is sent once the binding is durable."""
    who = asked(request.scope)
    wanted = convert.wanted(decode(_BIND, who.body), convert.once(idempotency_key(who.headers), who.body))
    bound = await services_of(request).bindings.bind(who.principal.tenant_id, wanted)
    binding = convert.binding(bound.binding, bound.at)
    headers = {"Location": f"/v1/bindings/{binding.id}"}
    if bound.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(binding, status_code=201, headers=headers)


@get(
    "/v1/bindings",
    operation_id="list_bindings",
    summary="List bindings",
    tags=["bindings"],
    opt={"action": Action.BINDING_READ},
)
async def list_bindings(  # noqa: PLR0917  # Litestar calls it by name
    request: Asking,
    status: Annotated[Status | None, Parameter(description="Only these.")] = None,
    order_id: Annotated[str | None, Parameter(description="Only of this order.", max_length=64)] = None,
    number: Annotated[
        str | None,
        Parameter(description="Only those with this X or Y.", max_length=15, pattern=models.NUMBER_PATTERN),
    ] = None,
    mode: Annotated[Mode | None, Parameter(description="Only of this mode.")] = None,
    cursor: Annotated[
        str | None,
        Parameter(description="`next_cursor` of the page before.", max_length=64, pattern=models.ID_PATTERN),
    ] = None,
    limit: Limit = 100,
    tenant: Whose = None,
) -> models.BindingPage:
    """A tenant's bindings, newest first; real numbers masked but for the tenant itself."""
    no_nulls(request.scope["query_string"], "status", "number", "mode", "cursor", "tenant")
    whose = await reached(request, tenant)
    page = await services_of(request).bindings.page(
        whose.tenant_id,
        status=status,
        order_id=order_id,
        number=None if number is None else Number700.parse(number),
        mode=mode,
        cursor=cursor,
        limit=limit,
    )
    items, unreadable = legible(
        page.bindings,
        lambda row: convert.binding(row, page.at, whose.shown),
        lambda row: format_id("b", row.code, row.id),
    )
    _seen(request, *items)
    return models.BindingPage(items, page.cursor, unreadable)


@get(
    "/v1/bindings/{id:str}",
    operation_id="get_binding",
    summary="Get a binding",
    tags=["bindings"],
    opt={"action": Action.BINDING_READ},
)
async def get_binding(request: Asking, id: BindingId, tenant: Whose = None) -> models.Binding:
    """One binding, also one that is over."""
    no_nulls(request.scope["query_string"], "tenant")
    whose = await reached(request, tenant)
    found = await services_of(request).bindings.get(whose.tenant_id, *convert.binding_id(id))
    binding = convert.binding(found.binding, found.at, whose.shown)
    _seen(request, binding)
    return binding


@patch(
    "/v1/bindings/{id:str}",
    operation_id="change_binding",
    summary="Extend, or change a party",
    tags=["bindings"],
    opt={"action": Action.BINDING_CHANGE, "body": models.ChangeRequest},
)
async def change_binding(request: Asking, id: BindingId) -> models.Binding:
    """Give a new end, or put somebody else in the place of A or B; the numbers stay."""
    who, bindings = asked(request.scope), services_of(request).bindings
    tenant_id, change = who.principal.tenant_id, decode(_CHANGE, who.body)
    code, row_id = convert.binding_id(id)
    new_end = change.ttl is not None or change.expires_at is not None
    if new_end == (change.a is not None or change.b is not None):
        raise BadRequest("give a new end (ttl or expires_at) or a new party (a, b), one of the two")
    if new_end:
        ttl = convert.seconds(change.ttl)
        changed = await bindings.extend(tenant_id, code, row_id, ttl=ttl, expires_at=change.expires_at)
    else:
        a = None if change.a is None else Msisdn.parse(change.a, field="a")
        b = None if change.b is None else Msisdn.parse(change.b, field="b")
        changed = await bindings.change_party(tenant_id, code, row_id, a=a, b=b)
    return _shown(request, changed)


@delete(
    "/v1/bindings/{id:str}",
    operation_id="release",
    summary="Release a binding",
    tags=["bindings"],
    status_code=200,
    opt={"action": Action.BINDING_RELEASE},
)
async def release(request: Asking, id: BindingId) -> models.Released:
    """End a binding now. Releasing one that is over changes nothing and says when it ended."""
    tenant_id = asked(request.scope).principal.tenant_id
    return convert.released(await services_of(request).bindings.release(tenant_id, *convert.binding_id(id)))


@post(
    "/v1/bindings/{id:str}/members",
    operation_id="add_members",
    summary="Add members",
    tags=["bindings"],
    status_code=200,
    opt={"action": Action.BINDING_CHANGE, "body": models.MembersRequest},
)
async def add_members(request: Asking, id: BindingId) -> models.Binding:
    """Add to the group, at its end. B reaches the member who called last, else the first."""
    tenant_id = asked(request.scope).principal.tenant_id
    bindings, id_of = services_of(request).bindings, convert.binding_id(id)
    return _shown(request, await bindings.add_members(tenant_id, *id_of, _members(request)))


@delete(
    "/v1/bindings/{id:str}/members",
    operation_id="remove_members",
    summary="Take members out",
    tags=["bindings"],
    status_code=200,
    opt={"action": Action.BINDING_CHANGE, "body": models.MembersRequest},
)
async def remove_members(request: Asking, id: BindingId) -> models.Binding:
    """Take out of the group; their late calls find an ended order."""
    tenant_id = asked(request.scope).principal.tenant_id
    bindings, id_of = services_of(request).bindings, convert.binding_id(id)
    return _shown(request, await bindings.remove_members(tenant_id, *id_of, _members(request)))


@post(
    "/v1/bindings/bulk",
    operation_id="bind_bulk",
    summary="Bind many",
    tags=["bindings"],
    status_code=200,
    opt={"action": Action.BIND, "body": models.BulkBindRequest, LARGE: True},
)
async def bind_bulk(request: Asking, key: IdempotencyKey = None) -> models.BulkBindAnswer:
    """Thousands of bindings in one request; each item has its own status, in the order of the request."""
    who = asked(request.scope)
    items = decode(_BULK_ITEMS, who.body).items
    _check_size(request, len(items), "items")
    wanted = _each_wanted(items, idempotency_key(who.headers))
    bound = await services_of(request).bindings.bind_each(who.principal.tenant_id, wanted)
    return models.BulkBindAnswer([_bulk_bound(one) for one in bound])


@post(
    "/v1/bindings/bulk-release",
    operation_id="release_bulk",
    summary="Release many",
    tags=["bindings"],
    status_code=200,
    opt={"action": Action.BINDING_RELEASE, "body": models.BulkReleaseRequest, LARGE: True},
)
async def release_bulk(request: Asking) -> models.BulkReleaseAnswer:
    """Thousands of releases in one request; each id has its own status, in the order of the request."""
    who = asked(request.scope)
    ids = decode(_BULK_IDS, who.body).ids
    _check_size(request, len(ids), "ids")
    released = await services_of(request).bindings.release_each(who.principal.tenant_id, _each_id(ids))
    return models.BulkReleaseAnswer([_bulk_released(one) for one in released])


@get(
    "/v1/codes",
    operation_id="list_codes",
    summary="List codes",
    tags=["codes"],
    opt={"action": Action.CODE_READ},
)
async def list_codes(request: Asking) -> models.CodeList:
    """The codes that numbers of this tenant are drawn from."""
    codes = await services_of(request).bindings.codes(asked(request.scope).principal.tenant_id)
    return models.CodeList([models.Code(str(Code(one.code)), one.province, one.enabled) for one in codes])


HANDLERS: Final = (
    bind,
    list_bindings,
    get_binding,
    change_binding,
    release,
    add_members,
    remove_members,
    bind_bulk,
    release_bulk,
    list_codes,
)
