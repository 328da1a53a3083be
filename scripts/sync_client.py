#!/usr/bin/env python3
"""Writes src/qibai/client/sync.py from aio.py. With --check: fails if sync.py is not what it would write."""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "src" / "qibai" / "client"
SOURCE, TARGET = FOLDER / "aio.py", FOLDER / "sync.py"
#: What is replaced, in this order: the longer first.
WORDS = {
    r"The client for asyncio": "The client for code that waits",
    r"writes ``sync\.py`` from this file": "writes this file from ``aio.py``",
    r"qibai\.client\.aio_transport": "qibai.client.transport",
    r"\bAsync(Client|Iterator|Transport)\b": r"\1",
    r"\basync (def|for|with)\b": r"\1",
    r"\bawait ": "",
    r"\b__a(enter|exit)__\b": r"__\1__",
    r"\basyncio\b": "time",
}


def waiting(source: str) -> str:
    """The same code without asyncio, as ruff writes it."""
    for pattern, replacement in WORDS.items():
        source = re.sub(pattern, replacement, source)
    name = ["--stdin-filename", str(TARGET), "-"]
    for command in (["check", "--fix", "--unsafe-fixes", "--select", "I,UP028"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "-q", *name]
        source = subprocess.run(ruff, input=source, capture_output=True, text=True, check=True).stdout
    return source


def main() -> int:
    text = waiting(SOURCE.read_text(encoding="utf-8"))
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(text, encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != text:
        print(f"{TARGET.name} does not follow from {SOURCE.name}: run `make sync-client`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
