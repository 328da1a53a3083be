"""The two roles of a test's database: fixtures give the owner's, the platform under test has its own."""

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from qibai.store.embedded import OWNER, PLATFORM


def as_platform(dsn: str) -> str:
    """The same database as the role that the platform runs as; other servers' DSNs stay as they are."""
    info = conninfo_to_dict(dsn)
    if info.get("user") != OWNER:
        return dsn
    return make_conninfo(dsn, user=PLATFORM, passfile=f"{info['passfile']}.platform")
