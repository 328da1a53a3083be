"""``/v1/stats``: how calls and messages went in the last hour, and what headroom is left."""

from datetime import timedelta
from typing import Annotated, Final

from litestar import get
from litestar.params import Parameter

from qibai.api.decode import no_nulls
from qibai.api.request import Asking, Whose, services_of, surveyed
from qibai.core.figures import Statistics
from qibai.core.roles import Action
from qibai.service import stats


@get(
    "/v1/stats",
    operation_id="get_stats",
    summary="Figures of the last hour",
    tags=["stats"],
    opt={"action": Action.STATS_READ},
)
async def get_stats(
    request: Asking,
    last: Annotated[
        int, Parameter(description="Seconds that the figures reach back.", ge=60, le=7 * 86_400)
    ] = 3_600,
    tenant: Whose = None,
) -> Statistics:
    """A tenant sees its own figures, an application platform its tenants', operators and auditors all."""
    no_nulls(request.scope["query_string"], "last", "tenant")
    whose = await surveyed(request, tenant, everyone=tenant is None)
    async with services_of(request).connections.get() as conn:
        return await stats.read(conn, timedelta(seconds=last), whose)


HANDLERS: Final = (get_stats,)
