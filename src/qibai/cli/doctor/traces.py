"""Whether somebody tries numbers by tracing."""

from qibai.cli.doctor.finding import Finding, ok, skip, warn
from qibai.config import Config
from qibai.core.errors import QibaiError
from qibai.store import dsn
from qibai.store.failures import DriverError
from qibai.store.hosts import connect
from qibai.store.party_trace import last_day


def check_traces(config: Config) -> Finding:
    """Traces by a party's number that were refused in the last day, and whose they were."""
    try:
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            found = last_day(conn)
    except (DriverError, QibaiError):
        return skip("traces", "needs the store and its schema")
    refused = [one for one in found if one.refused]
    if refused:
        each = ", ".join(
            f"{one.actor} ({one.via}): {one.answered} answered, {one.refused} refused" for one in refused[:5]
        )
        says = f"by a party's number beyond the limit in the last day: {each}"
        return warn("traces", says, "ask why; qibai audit list --action trace; qibai access revoke KEY")
    return ok("traces", f"{sum(one.answered for one in found)} by a party's number in the last day")
