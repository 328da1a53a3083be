"""What the platform's database role may do: read and write data, not change the schema or what was recorded.

The schema belongs to another role, under which only migrations run. So whoever takes over a running part of
the platform can add to the audit trail, but not change it; nor can it take a key from its holder.
"""

from typing import Any, Final

import psycopg
from psycopg import sql

from qibai.store.failures import own_errors

#: Tables on which the platform has less than SELECT, INSERT, UPDATE and DELETE.
RESTRICTED: Final[dict[str, tuple[str, ...]]] = {
    "api_key": ("SELECT", "INSERT", "UPDATE (secret, revoked_at)"),
    "api_key_untied": ("SELECT",),
    "audit": ("SELECT", "INSERT"),
    "audit_head": ("SELECT", "UPDATE"),
    "dual_request": ("SELECT", "INSERT", "UPDATE"),
    "dual_rule": ("SELECT", "INSERT", "UPDATE"),
    "key_made": ("SELECT", "INSERT"),
    "schema_functions": ("SELECT",),
    "schema_version": ("SELECT",),
}
GUARDED: Final = ("api_key", "api_key_untied", "audit", "audit_head", "dual_request")
_ALL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES")

_EXCESS: Final = """
SELECT c.relname, p.privilege
FROM pg_class c CROSS JOIN unnest(%s::text[]) AS p (privilege)
WHERE c.oid IN (SELECT to_regclass(t) FROM unnest(%s::text[]) t) AND has_table_privilege(c.oid, p.privilege)
UNION ALL
SELECT c.relname, 'OWNER' FROM pg_class c
WHERE c.oid IN (SELECT to_regclass(t) FROM unnest(%s::text[]) t) AND pg_has_role(c.relowner, 'MEMBER')
ORDER BY 1, 2"""


_FUNCTIONS: Final = """
SELECT oid::regprocedure::text FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND proowner = current_user::regrole AND prokind = 'f'"""


def grant(conn: psycopg.Connection[Any], role: str) -> None:
    """As the owner, give ``role`` what running the platform needs and no more, however often it is called.

    ``conn`` is in a transaction: whoever runs meanwhile never misses a right.
    """
    name = sql.Identifier(role)
    row = conn.execute("SELECT current_schema()").fetchone()
    schema = sql.Identifier(row[0] if row else "public")
    for statement in (
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "REVOKE CREATE ON SCHEMA {schema} FROM {role}",
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    ):
        conn.execute(sql.SQL(statement).format(schema=schema, role=name))
    for (signature,) in conn.execute(_FUNCTIONS).fetchall():  # where not everybody may call functions
        conn.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(signature), name))
    for table, rights in RESTRICTED.items():
        where = {"schema": schema, "table": sql.Identifier(table), "role": name}
        conn.execute(sql.SQL("REVOKE ALL ON {schema}.{table} FROM {role}").format(**where))
        words = sql.SQL(", ").join(sql.SQL(right) for right in rights)
        conn.execute(sql.SQL("GRANT {rights} ON {schema}.{table} TO {role}").format(rights=words, **where))


def role_of(conn: psycopg.Connection[Any]) -> str | None:
    """The role of ``conn``, or None while the schema is not there."""
    row = conn.execute("SELECT current_user::text WHERE to_regclass('audit') IS NOT NULL").fetchone()
    return None if row is None else str(row[0])


def excess(conn: psycopg.Connection[Any]) -> list[str]:
    """What the role of ``conn`` could do to what was recorded, but must not, such as `DELETE on audit`."""
    with own_errors():
        row = conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if row is not None and row[0]:
            return ["everything: it is a superuser"]
        tables = list(GUARDED)
        found = conn.execute(_EXCESS, [list(_ALL), tables, tables]).fetchall()
    owned = {table for table, right in found if right == "OWNER"}
    return [f"everything on {table}: it owns it" for table in sorted(owned)] + [
        f"{right} on {table}"
        for table, right in found
        if table not in owned and right not in RESTRICTED[table]
    ]
