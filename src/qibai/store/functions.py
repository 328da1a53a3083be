"""The SQL functions of the schema: ``sql/functions/*.sql``, run again whenever they have changed.

Programs of the previous release may still use the database, so a changed function also takes their calls: a
new parameter has a default. A change that cannot do so needs a migration, which stops older programs.
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import errors, sql

FOLDER: Final = Path(__file__).parent / "sql" / "functions"
#: Holds the revision and the digest of the files; `make schema` writes it.
REVISION: Final = FOLDER / "revision"
_NAME: Final = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)

_INSTALLED: Final = "SELECT revision, digest, names FROM schema_functions"
_NOTE: Final = """
INSERT INTO schema_functions (revision, digest, names) VALUES (%s, %s, %s)
ON CONFLICT (singleton) DO UPDATE
SET revision = excluded.revision, digest = excluded.digest, names = excluded.names, applied_at = now()"""
_SIGNATURES: Final = """
SELECT oid::regprocedure::text FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND proname = %s AND prokind = 'f'"""


class Functions(NamedTuple):
    """The functions of this release."""

    revision: int  #: counts up with each change; a database is never taken back to a lower revision
    digest: str  #: SHA-256 of the files
    definitions: dict[str, str]  #: by name: each name has a single definition

    @property
    def label(self) -> str:
        """The name by which they are listed beside migrations."""
        return f"functions {self.revision}"


@cache
def packaged() -> Functions:
    """Read the functions of this release."""
    revision, digest = REVISION.read_text("utf-8").split()
    definitions: dict[str, str] = {}
    for path in _files():
        text = path.read_text("utf-8")
        starts = list(_NAME.finditer(text))
        ends = [*(start.start() for start in starts[1:]), len(text)]
        for start, end in zip(starts, ends, strict=True):
            if start[1] in definitions:
                raise ValueError(f"{path.name} defines {start[1]} a second time")
            definitions[start[1]] = text[start.start() : end]
    return Functions(int(revision), digest, definitions)


def digest() -> str:
    """Return the SHA-256 of the files as they are."""
    parts = [part for path in _files() for part in (path.name.encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_current(conn: psycopg.Connection[Any]) -> bool:
    """Return True if the database has these functions, or those of a later release."""
    known = conn.execute("SELECT to_regclass('schema_functions') IS NOT NULL").fetchone()
    row = conn.execute(_INSTALLED).fetchone() if known == (True,) else None
    own = packaged()
    return row is not None and (row[0] > own.revision or row[:2] == (own.revision, own.digest))


def install(conn: psycopg.Connection[Any]) -> None:
    """Make the database's functions those of this release, as the schema's owner, in the open transaction.

    A function keeps its grants unless its parameters or its result have changed. Functions that this release
    no longer has are dropped. Functions of others stay.
    """
    own = packaged()
    row = conn.execute(_INSTALLED).fetchone()
    for name in sorted({*(row[2] if row else ())} - own.definitions.keys()):
        _drop(conn, name)
    for name, definition in own.definitions.items():
        _define(conn, name, definition.encode())
    conn.execute(_NOTE, [own.revision, own.digest, sorted(own.definitions)])


def _define(conn: psycopg.Connection[Any], name: str, definition: bytes) -> None:
    try:
        with conn.transaction():
            conn.execute(definition)
        replaced = len(_signatures(conn, name)) == 1
    except errors.InvalidFunctionDefinition:  # REPLACE changes no result, and no name of a parameter
        replaced = False
    if not replaced:
        _drop(conn, name)
        conn.execute(definition)


def _drop(conn: psycopg.Connection[Any], name: str) -> None:
    for signature in _signatures(conn, name):
        conn.execute(sql.SQL("DROP FUNCTION {}").format(sql.SQL(signature)))


def _signatures(conn: psycopg.Connection[Any], name: str) -> list[Any]:
    return [signature for (signature,) in conn.execute(_SIGNATURES, [name])]


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.sql"))
