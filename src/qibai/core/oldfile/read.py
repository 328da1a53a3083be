"""Reading an export line by line: memory does not grow with it."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from qibai.core.codefile import FileFormat
from qibai.core.errors import BadRequest, QibaiError
from qibai.core.oldfile.line import BadOldLine, OldLine, OrderFrom, bad
from qibai.core.oldfile.shapes import READERS, Shape, detect, unwrap

_UNKNOWN: Final = "whose export this is cannot be told from its fields; say so with --from"
_decode: Final = msgspec.json.Decoder().decode


class _NoObject(BadRequest):
    """This is not a JSON object."""


def read_lines(
    text: Iterable[str], form: FileFormat, shape: Shape | None, orders: OrderFrom
) -> Iterator[OldLine | BadOldLine]:
    """Each binding of an export in order; ``shape`` None: as the first line's fields tell.

    Raise BadRequest when these do not.
    """
    rows = _csv_rows(text) if form is FileFormat.CSV else _json_rows(text)
    place = 0
    for number, row in rows:
        if isinstance(row, dict) and shape is None:
            shape = detect(row)
            if shape is None:
                raise BadRequest(_UNKNOWN, field="from")
        try:
            found = [row] if isinstance(row, QibaiError) or shape is None else unwrap(shape, row)
        except QibaiError as exc:
            found = [exc]
        for one in found:
            place += 1
            yield _line(place, number, one, shape, orders)


def _line(place: int, number: int, row: Any, shape: Shape | None, orders: OrderFrom) -> OldLine | BadOldLine:
    try:
        if isinstance(row, QibaiError):
            raise row
        if shape is None or not isinstance(row, dict):
            raise _NoObject
        return READERS[shape](row).line(place, number, orders, shape.value)
    except QibaiError as exc:
        return bad(place, number, exc)


def _csv_rows(text: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | QibaiError]]:
    reader = csv.reader(text)
    header = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
    if len(set(header)) != len(header) or not header:
        raise BadRequest("the first line names the columns, each once", field="file")
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield reader.line_num, BadRequest("this is not CSV")
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            yield reader.line_num, BadRequest(f"{len(header)} columns are needed")
        else:
            yield reader.line_num, dict(zip(header, cells, strict=True))


def _json_rows(text: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | QibaiError]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = _decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            row = None
        yield number, row if isinstance(row, dict) else _NoObject()
