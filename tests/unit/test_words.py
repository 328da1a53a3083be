"""Words that readers of plain English stumble over are in no comment, docstring, message or page."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AVOIDED = re.compile(r"\b(anew|told|of no use|(?:is|are) ours to|(?<!no )such(?! as\b))\b", re.IGNORECASE)
WHERE = ("src/qibai", "bench", "scripts", "docs", "deploy")
KINDS = {".py", ".md", ".sql", ".j2", ".toml", ".yml", ".service"}
#: Migrations never change once they have run, and schema.sql is made from them; pages of others are not ours.
KEPT = re.compile(r"/migrations/|schema\.sql$|/zh-CN/|/site/|docs/contributing\.md$")


def _python(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and texts of several words. A word in quotes alone is a name."""
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in token.string):
                yield from enumerate(token.string.splitlines(), token.start[0])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix == ".py":
        yield from _python(path)
        return
    for number, line in enumerate(io.StringIO(path.read_text("utf-8")), 1):
        if not line.startswith("-- name:"):
            yield number, line


def test_words_that_are_avoided_are_nowhere() -> None:
    files = [ROOT / "README.md", ROOT / "Makefile"]
    files += [path for where in WHERE for path in sorted((ROOT / where).rglob("*")) if path.suffix in KINDS]
    files = [path for path in files if not KEPT.search(path.as_posix())]
    assert len(files) > 300
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in _lines(path)
        if AVOIDED.search(line) and not re.fullmatch(r'f?"[\w ]{1,16}"', line)
    ]
    assert not found, "\n".join(found)
