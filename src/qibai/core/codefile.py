"""Files of codes, CSV or JSON Lines: a code a line, with its certificate, tenant and provinces.

Columns: ``code`` (11 digits), ``certificate`` (its number), ``tenant`` (its name) and ``provinces`` (names or
codes with blanks between, in JSON also a list). All but the code may be empty, and then stay as they are.
What an export says besides (``state``, ``platform``, ``set_aside``) is ignored.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from qibai.core.csvline import cells_of
from qibai.core.errors import BadRequest, QibaiError
from qibai.core.masking import mask_name
from qibai.core.numbering import Code, parse_province

COLUMNS: Final = ("code", "certificate", "tenant", "provinces")
IGNORED: Final = ("state", "platform", "set_aside")


class FileFormat(StrEnum):
    """How a file of codes is written."""

    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class CodeLine:
    """What one line wants; None and no provinces: as it is. ``provinces`` are GB/T 2260, two digits."""

    number: int  #: of the line in the file, from 1
    code: Code
    certificate: str | None = None
    tenant: str | None = None
    provinces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be taken, and why."""

    number: int
    reason: str


def read_lines(text: Iterable[str], form: FileFormat) -> Iterator[CodeLine | BadLine]:
    """Each line of a file, in order; a code that came before is bad. Raise BadRequest for a wrong header."""
    rows = _csv_rows(text) if form is FileFormat.CSV else _json_rows(text)
    seen: dict[int, int] = {}
    for number, row in rows:
        line = row if isinstance(row, BadLine) else _line(number, row)
        if isinstance(line, CodeLine):
            first = seen.setdefault(line.code.value, number)
            if first != number:
                line = BadLine(number, f"this code stands on line {first} already")
        yield line


def without_mark(number: int, line: str) -> str:
    """A line without the byte order mark that some programs put before the first."""
    return line.removeprefix("\ufeff") if number == 1 else line


def header_of(text: Iterable[str]) -> tuple[str, ...]:
    """The columns that the first line names, read from there. Raise BadRequest when it is not CSV."""
    line = without_mark(1, next(iter(text), ""))
    try:
        return tuple(name.strip() for name in cells_of(line))
    except BadRequest as exc:
        raise BadRequest(f"the first line: {exc.message}", field="file") from None


def _csv_rows(text: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    lines = iter(text)
    header = [name.lower() for name in header_of(lines)]
    strange = sorted(set(header) - {*COLUMNS, *IGNORED})
    if "code" not in header or strange or len(set(header)) != len(header):
        raise BadRequest(f"the first line names the columns: {', '.join(COLUMNS)}", field="file")
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            cells = cells_of(line)
        except BadRequest as exc:
            yield number, BadLine(number, exc.message)
            continue
        if len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        else:
            yield number, BadLine(number, f"{len(header)} columns are needed")


def _json_rows(text: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(without_mark(number, line))
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, BadLine(number, "this is not a JSON object")


def _line(number: int, row: dict[str, Any]) -> CodeLine | BadLine:
    strange = sorted(mask_name(str(name), 20) for name in set(row) - {*COLUMNS, *IGNORED})
    if strange:
        return BadLine(number, f"unknown: {', '.join(strange)}")
    for name in ("code", "certificate", "tenant"):
        value = row.get(name)
        if value is not None and (not isinstance(value, str) or "\0" in value or len(value) > 200):
            return BadLine(number, f"{name} has to be text")
    provinces = row.get("provinces") or ()
    if isinstance(provinces, str):
        provinces = provinces.replace(";", " ").split()
    if not isinstance(provinces, list | tuple) or not all(isinstance(one, str) for one in provinces):
        return BadLine(number, "provinces have to be text, or a list of texts")
    try:
        return CodeLine(
            number,
            Code.parse((row.get("code") or "").strip()),
            (row.get("certificate") or "").strip() or None,
            (row.get("tenant") or "").strip() or None,
            tuple(sorted({parse_province(name).code for name in provinces})),
        )
    except QibaiError as exc:
        return BadLine(number, exc.message)
