"""Named statements of ``store/sql/*.sql``: a line ``-- name: find_key`` begins each."""

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: ([a-z0-9_]+)$", re.MULTILINE)


@cache
def load(file: str) -> dict[str, bytes]:
    """The statements of ``sql/<file>.sql`` by name."""
    text = (resources.files("qibai.store") / "sql" / f"{file}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{file}.sql names a statement twice")
    return {name: body.strip().rstrip(";").encode() for name, body in zip(names, bodies, strict=True)}
