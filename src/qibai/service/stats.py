"""How calls and messages went lately, and what headroom is left."""

from datetime import timedelta

from qibai.core.figures import Statistics
from qibai.service.reach import Survey
from qibai.store import stats
from qibai.store.connection import Connection


async def read(conn: Connection, last: timedelta, whose: Survey) -> Statistics:
    """The figures of ``last``, of what ``whose`` reaches. Raise StoreUnavailable."""
    tenant = None if whose.tenant is None else whose.tenant.tenant_id
    return await stats.read(conn, last, tenant=tenant, platform=whose.platform_id)
