"""Whether the platform's database role has too many rights."""

from qibai.cli.doctor.finding import Finding, fail, ok, skip
from qibai.config import Config
from qibai.core.errors import QibaiError
from qibai.store import dsn
from qibai.store.failures import DriverError
from qibai.store.grants import excess, role_of
from qibai.store.hosts import connect


def check_rights(config: Config) -> Finding:
    """The platform must not be able to change what is in the audit trail, or whose an API key is."""
    try:
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            role = role_of(conn)
            if role is None:
                return skip("database role", "needs the schema")
            found = excess(conn)
    except (DriverError, QibaiError):
        return skip("database role", "needs the store")
    if found:
        return fail(
            "database role",
            f"{role} can change what only the owner may change: {', '.join(found)}",
            "give the schema to a role of its own, see docs/operations.md, then: qibai migrate",
        )
    return ok("database role", f"{role} can add to the audit trail, not change it")
