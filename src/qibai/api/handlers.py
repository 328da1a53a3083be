"""The resources of ``/v1`` other than calls. The gate has checked who asks and read the body."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.params import Parameter

from qibai.api import models
from qibai.api.decode import IDEMPOTENCY_KEY_PATTERN, decode, idempotency_key, no_nulls
from qibai.api.gate import LARGE, asked
from qibai.api.reach import Reach, Whose, reach
from qibai.api.services import Services
from qibai.core.binding import Mode, Status
from qibai.core.roles import Action

Asking = Request[Any, Any, Any]
BindingId = Annotated[
    str,
    Parameter(description="A binding's id.", max_length=64, pattern=models.ID_PATTERN),
]
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


class _BulkItems(msgspec.Struct, forbid_unknown_fields=True):
    """A bulk whose items are decoded one by one, so that each fails by itself."""

    items: list[msgspec.Raw]


_CHANGE: Final = msgspec.json.Decoder(models.ChangeRequest)
_MEMBERS: Final = msgspec.json.Decoder(models.MembersRequest)
_BULK_ITEMS: Final = msgspec.json.Decoder(_BulkItems)
_BULK_IDS: Final = msgspec.json.Decoder(models.BulkReleaseRequest)
_TRANSLATE: Final = msgspec.json.Decoder(models.TranslationRequest)


def services_of(request: Asking) -> Services:
    """The worker's services."""
    services: Services = request.app.state.services
    return services


async def reached(request: Asking, tenant: str | None) -> Reach:
    """Whose things the key asks for. Raise as ``reach``."""
    return await reach(services_of(request).connections, asked(request.scope).principal, tenant)


def seen(request: Asking, *numbers: str | None) -> None:
    """Count the real numbers in an answer, where the key gets them whole."""
    services_of(request).key_reads.shown(asked(request.scope).principal, *numbers)


def _seen(request: Asking, *shown: models.Binding) -> None:
    seen(request, *(number for one in shown for number in (one.a, one.b, *one.members)))


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
    binding, replayed = await services_of(request).bind(
        who.principal.tenant_id, who.body, idempotency_key(who.headers)
    )
    headers = {"Location": f"/v1/bindings/{binding.id}"}
    if replayed:
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
    page = await services_of(request).list_page(
        await reached(request, tenant),
        status=status,
        order_id=order_id,
        number=number,
        mode=mode,
        cursor=cursor,
        limit=limit,
    )
    _seen(request, *page.items)
    return page


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
    found = await services_of(request).get(await reached(request, tenant), id)
    _seen(request, found)
    return found


@patch(
    "/v1/bindings/{id:str}",
    operation_id="change_binding",
    summary="Extend, or change a party",
    tags=["bindings"],
    opt={"action": Action.BINDING_CHANGE, "body": models.ChangeRequest},
)
async def change_binding(request: Asking, id: BindingId) -> models.Binding:
    """Give a new end, or put somebody else in the place of A or B; the numbers stay."""
    who = asked(request.scope)
    change = decode(_CHANGE, who.body)
    changed = await services_of(request).change(who.principal.tenant_id, id, change)
    _seen(request, changed)
    return changed


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
    return await services_of(request).release(asked(request.scope).principal.tenant_id, id)


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
    who = asked(request.scope)
    change = decode(_MEMBERS, who.body)
    changed = await services_of(request).change_members(who.principal.tenant_id, id, change, add=True)
    _seen(request, changed)
    return changed


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
    who = asked(request.scope)
    change = decode(_MEMBERS, who.body)
    changed = await services_of(request).change_members(who.principal.tenant_id, id, change, add=False)
    _seen(request, changed)
    return changed


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
    return await services_of(request).bind_bulk(who.principal.tenant_id, items, idempotency_key(who.headers))


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
    return await services_of(request).release_bulk(who.principal.tenant_id, ids)


@post(
    "/v1/translations",
    operation_id="translate",
    summary="Where would a call go?",
    tags=["translations"],
    status_code=200,
    opt={"action": Action.TRANSLATE, "body": models.TranslationRequest},
)
async def translate(request: Asking) -> models.Translation:
    """The decision as a network would get it by SIP, real number included: for network keys only."""
    who = asked(request.scope)
    services = services_of(request)
    found = await services.translator.translate(decode(_TRANSLATE, who.body))
    services.key_reads.add(who.principal, int(found.callee is not None))
    return found


@get(
    "/v1/codes",
    operation_id="list_codes",
    summary="List codes",
    tags=["codes"],
    opt={"action": Action.CODE_READ},
)
async def list_codes(request: Asking) -> models.CodeList:
    """The codes that numbers of this tenant are drawn from."""
    return await services_of(request).codes(asked(request.scope).principal.tenant_id)


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
    translate,
    list_codes,
)
