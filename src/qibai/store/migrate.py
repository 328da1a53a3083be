"""Bring the schema up to date: packaged migrations, each run once, in order, and then the SQL functions.

An advisory lock lets any number of processes call ``migrate`` at once: one does the work, the others find it
done. A migration calls none of the functions, because it does not know which revision of them is there.
"""

from importlib import resources
from typing import Any, Final

import psycopg

from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.store.functions import install, is_current, packaged
from qibai.store.hosts import connect

MIN_SERVER_VERSION: Final = 150_000
MIGRATION_LOCK: Final = 7_000

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS schema_version (
    name        text PRIMARY KEY,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""


def available() -> list[str]:
    """Name this release's migrations, oldest first, and the revision of its functions."""
    folder = resources.files("qibai.store") / "migrations"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [*names, packaged().label]


def pending(dsn: str) -> list[str]:
    """Name what ``migrate`` would run. Raise StoreUnavailable or SchemaError."""
    with _connect(dsn) as conn:
        done = _applied(conn)
    return [name for name in available() if name not in done]


def migrate(dsn: str) -> list[str]:
    """Bring the schema up to date and return what was applied; an empty list: nothing was left to do.

    Raise SchemaError when the server is too old or its schema is a later release's, StoreUnavailable when it
    does not answer. A migration that fails leaves nothing of itself behind.
    """
    applied = []
    with _connect(dsn) as conn:
        for name in available():
            with conn.transaction():
                conn.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
                conn.execute(_CREATE)
                if name in _applied(conn):
                    continue
                if name == packaged().label:
                    install(conn)
                else:
                    conn.execute(_text(name))
                    conn.execute("INSERT INTO schema_version (name) VALUES (%s)", [name])
                applied.append(name)
    return applied


def _connect(dsn: str) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        conn = connect(dsn, autocommit=True, options="-c client_min_messages=warning", connect_timeout_s=30)
    except psycopg.OperationalError as exc:
        raise StoreUnavailable from exc
    if conn.info.server_version < MIN_SERVER_VERSION:
        found = conn.info.server_version // 10_000
        conn.close()
        raise SchemaError(f"PostgreSQL {found} is too old; Qibai needs PostgreSQL 15 or later")
    return conn


def _applied(conn: psycopg.Connection[tuple[Any, ...]]) -> set[str]:
    row = conn.execute("SELECT to_regclass('schema_version') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return set()
    done: set[str] = {name for (name,) in conn.execute("SELECT name FROM schema_version")}
    unknown = done - set(available())
    if unknown:
        raise SchemaError(f"the database has migrations of a later release ({max(unknown)}); upgrade Qibai")
    return done | {packaged().label} if is_current(conn) else done


def _text(name: str) -> bytes:
    return (resources.files("qibai.store") / "migrations" / name).read_bytes()
