"""``/v1/pools``: how many numbers are free, and until when."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import get
from litestar.params import Parameter
from msgspec import Meta

from qibai.api.decode import no_nulls
from qibai.api.gate import asked
from qibai.api.request import Asking, services_of
from qibai.core.binding import Scene
from qibai.core.numbering import parse_province
from qibai.core.pools import Alert
from qibai.core.roles import Action
from qibai.service import pools

Count = Annotated[int, Meta(ge=0)]


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a tenant; `province` and `scene` null: all. An estimate where some codes were counted."""

    at: Annotated[datetime, Meta(description="When they were counted.")]
    platform: str | None
    tenant: Annotated[str, Meta(description="Null: codes of no tenant.")] | None
    province: Annotated[str, Meta(description="GB/T 2260, two digits.", examples=["44"])] | None
    scene: Scene | None
    total: Count
    free: Annotated[Count, Meta(description="Nobody's; of all scenes.")]
    bound: Annotated[Count, Meta(description="Somebody's; they can be bound for others, too.")]
    quarantined: Annotated[Count, Meta(description="Nobody's, but some pair has not rested long enough.")]
    locked: Annotated[Count, Meta(description="Neither, but not to be bound.")]
    exhausted_at: Annotated[datetime, Meta(description="When no number is free at the present trend.")] | None
    alert: Annotated[Alert, Meta(description="By the thresholds of `[pools]`.")] | None


@get(
    "/v1/pools",
    operation_id="list_pools",
    summary="List pools of numbers",
    tags=["codes"],
    opt={"action": Action.POOL_READ},
)
async def list_pools(
    request: Asking,
    province: Annotated[
        str | None, Parameter(description="Only in this province, by code or name.", max_length=20)
    ] = None,
    scene: Annotated[Scene | None, Parameter(description="Only for this scene.")] = None,
    alerts: Annotated[bool, Parameter(description="Only those with an alert.")] = False,
) -> list[Pool]:
    """As counted last: a tenant sees its own, an application platform its tenants', operators all."""
    no_nulls(request.scope["query_string"], "province", "scene", "alerts")
    where = None if province is None else parse_province(province).code
    services, who = services_of(request), asked(request.scope).principal
    async with services.connections.get() as conn:
        found = await pools.list_pools(conn, services.config.pools, who)
    return [
        _model(one)
        for one in found
        if (where is None or one.province == where)
        and (scene is None or one.scene == scene)
        and (not alerts or one.alert is not None)
    ]


def _model(one: pools.Pool) -> Pool:
    fields = msgspec.structs.asdict(one)
    return Pool(**fields | {"scene": None if one.scene is None else Scene(one.scene)})


HANDLERS: Final = (list_pools,)
