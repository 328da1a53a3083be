#!/usr/bin/env python3
"""Writes store/schema.sql from a database that all migrations have made, with the migrations' comments.

Counts the revision of the SQL functions up if their files have changed. With --check: writes nothing, and
fails if it would.
"""

import re
import sys
import tempfile
from pathlib import Path

import psycopg

from qibai.config import Config
from qibai.store import functions
from qibai.store.backup.programs import run
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.migrate import migrate

STORE = Path(functions.__file__).parent
TARGET = STORE / "schema.sql"
HEAD = """\
-- The tables as all migrations leave them, written by `make schema`: to be read, not to be run.
-- Functions stand in sql/functions/. Partitions are counted, not listed.
"""
PARTITIONS = """
SELECT inhparent::regclass::text, array_agg(inhrelid::regclass::text ORDER BY inhrelid)
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind = 'r' GROUP BY 1"""
#: In front of each statement of pg_dump.
HEADING = re.compile(r"^--\n-- Name: .*; Type: (.*); Schema: .*\n--\n", re.MULTILINE)
SUBJECT = re.compile(r"(?:TABLE(?: ONLY)?|\bON(?: ONLY)?) (\w+)")
#: In migrations: statements about a table with the comment in front, and a column with the comment behind it.
CREATE = re.compile(r"((?:^--.*\n)*)^CREATE TABLE (\w+) \((.*\n(?:.+\n)*?)\)", re.MULTILINE)
ALTER = re.compile(r"((?:^--.*\n)*)^ALTER TABLE (\w+)((?:.*\n)*?.*;(?: *--.*)?\n)", re.MULTILINE)
COLUMN = re.compile(r"(?:^ +|ADD COLUMN +)(?!ADD )(\w+) .*?-- (.*)", re.MULTILINE)
#: Shorter words for what pg_dump writes at length.
SHORTER = {
    r" (GENERATED \w+ AS IDENTITY) \((?:\n    .*)+\n\)": r" \1",
    r"\n    (ADD CONSTRAINT)": r" \1",
    r"timestamp with time zone": "timestamptz",
    r" USING btree": "",
    r"::text\b(?!\[)": "",
}


def recorded() -> str:
    """What the file `revision` has to hold."""
    revision, digest = functions.REVISION.read_text("utf-8").split()
    number = int(revision) + (digest != functions.digest())
    return f"{number} {functions.digest()}\n"


def made() -> str:
    """The schema of a new database."""
    with tempfile.TemporaryDirectory(prefix="qibai-schema-") as folder:
        server = EmbeddedPostgres(Config(home=Path(folder)))
        server.start()
        try:
            migrate(server.owner_dsn)
            return schema(server.owner_dsn, Path(folder) / "dump.sql")
        finally:
            server.stop()


def schema(dsn: str, dump: Path) -> str:
    """The schema of the database, by table."""
    with psycopg.connect(dsn) as conn:
        partitions = dict(conn.execute(PARTITIONS).fetchall())
    without = [f"--exclude-table={name}" for names in partitions.values() for name in names]
    run("pg_dump", dsn, ["--schema-only", "--no-owner", "--no-privileges", *without, f"--file={dump}"])
    text = dump.read_text("utf-8").replace("public.", "").split("--\n-- PostgreSQL database dump complete")[0]
    for long, short in SHORTER.items():
        text = re.sub(long, short, text)
    tables: dict[str, list[str]] = {}
    _, *parts = HEADING.split(text)
    for kind, body in zip(parts[::2], parts[1::2], strict=True):
        subject = SUBJECT.search(body)
        if kind != "FUNCTION" and subject is not None:
            tables.setdefault(subject[1], []).append(body.strip())
    above, behind = comments()
    for table, statements in tables.items():
        create = with_comments(statements[0], behind.get(table, {}))
        count = f"  -- {len(partitions[table])} partitions" if table in partitions else ""
        statements[0] = "".join(dict.fromkeys(above.get(table, []))) + create + count
    return HEAD + "".join("\n\n" + "\n".join(statements) + "\n" for _, statements in sorted(tables.items()))


def comments() -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    """The comments of the migrations: on each table, and on each column of it."""
    above: dict[str, list[str]] = {}
    behind: dict[str, dict[str, str]] = {}
    for path in sorted((STORE / "migrations").glob("*.sql")):
        text = path.read_text("utf-8")
        for comment, table, body in [*CREATE.findall(text), *ALTER.findall(text)]:
            above.setdefault(table, []).append(comment)
            behind.setdefault(table, {}).update(COLUMN.findall(body))
    return above, behind


def with_comments(statement: str, behind: dict[str, str]) -> str:
    """A CREATE TABLE of pg_dump with the comments on its columns."""
    lines = []
    for line in statement.split("\n"):
        comment = behind.get(line.split()[0])
        lines.append(f"{line:<47}  -- {comment}" if comment else line)
    return "\n".join(lines)


def main() -> int:
    wanted = {functions.REVISION: recorded()}
    if sys.argv[1:] != ["--check"]:
        functions.REVISION.write_text(wanted[functions.REVISION], "utf-8")
        TARGET.write_text(made(), "utf-8")
        return 0
    wanted[TARGET] = made()
    old = [path.name for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    if old:
        print(f"not current: {', '.join(old)}; run `make schema`", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
