"""Locks on numbers, and quotas."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from litestar import get, post

from qibai.api.admin import models
from qibai.api.admin.common import body, for_all, own_platform, perform, read, to_model
from qibai.api.request import Asking
from qibai.core.numbering import Number700, parse_province
from qibai.core.roles import Action
from qibai.service import limits

_LOCK: Final = msgspec.json.Decoder(models.LockRequest)
_UNLOCK: Final = msgspec.json.Decoder(models.UnlockRequest)
_QUOTA: Final = msgspec.json.Decoder(models.QuotaRequest)
_KEY: Final = msgspec.json.Decoder(models.QuotaKey)


@get(
    "/v1/admin/locks",
    operation_id="list_locks",
    summary="List locked numbers",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def list_locks(request: Asking) -> list[models.Lock]:
    """In order of the numbers."""
    for_all(request)
    found = await read(request, limits.list_locks)
    return [models.Lock(str(row.number), row.stops_calls, row.why, row.locked_at) for row in found]


@post(
    "/v1/admin/locks",
    operation_id="lock_number",
    summary="Lock a number",
    tags=["admin"],
    opt={"action": Action.RESOURCE_CHANGE, "body": models.LockRequest},
)
async def lock(request: Asking) -> models.Lock:
    """It is bound no more. What is bound goes on, unless calls are stopped as well."""
    wish = body(request, _LOCK)
    number = Number700.parse(wish.number)
    at = await perform(
        request, lambda desk: limits.lock(desk, number, why=wish.why, stops_calls=wish.stops_calls)
    )
    return models.Lock(str(number), wish.stops_calls, wish.why, at)


@post(
    "/v1/admin/locks/release",
    operation_id="unlock_number",
    summary="Unlock a number",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.RESOURCE_CHANGE, "body": models.UnlockRequest},
)
async def unlock(request: Asking) -> models.UnlockRequest:
    """It may be bound and called again."""
    wish = body(request, _UNLOCK)
    number = Number700.parse(wish.number)
    await perform(request, lambda desk: limits.unlock(desk, number))
    return wish


@get(
    "/v1/admin/quotas",
    operation_id="list_quotas",
    summary="List quotas",
    tags=["admin"],
    opt={"action": Action.RESOURCE_READ},
)
async def list_quotas(request: Asking) -> list[models.Quota]:
    """Each limit, and how many live bindings count against it."""
    own = own_platform(request)
    found = await read(request, lambda conn: limits.list_quotas(conn, now=datetime.now(UTC), platform=own))
    return [to_model(models.Quota, row) for row in found]


@post(
    "/v1/admin/quotas",
    operation_id="set_quota",
    summary="Set a quota",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.RESOURCE_CHANGE, "body": models.QuotaRequest},
)
async def set_quota(request: Asking) -> models.Quota:
    """From now on; bindings above the limit are left alone."""
    wish = body(request, _QUOTA)
    where = parse_province(wish.province) if wish.province is not None else None
    used = await perform(
        request,
        lambda desk: limits.set_quota(desk, wish.tenant, wish.most, scene=wish.scene, province=where),
    )
    return models.Quota(
        tenant=wish.tenant,
        scene=wish.scene.value if wish.scene else None,
        province=where.code if where else None,
        most=wish.most,
        used=used,
    )


@post(
    "/v1/admin/quotas/drop",
    operation_id="drop_quota",
    summary="Lift a quota",
    tags=["admin"],
    status_code=200,
    opt={"action": Action.RESOURCE_CHANGE, "body": models.QuotaKey},
)
async def drop_quota(request: Asking) -> models.QuotaKey:
    """The tenant's live bindings there count no more."""
    wish = body(request, _KEY)
    where = parse_province(wish.province) if wish.province is not None else None
    await perform(
        request, lambda desk: limits.drop_quota(desk, wish.tenant, scene=wish.scene, province=where)
    )
    return wish


HANDLERS: Final = (list_locks, lock, unlock, list_quotas, set_quota, drop_quota)
