"""Reading an export: its rows as they stand, cheaply and in order; then the bindings in them.

So a batch of rows can go to another process, which reads it as this one would have.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from qibai.core.codefile import FileFormat, header_of, without_mark
from qibai.core.csvline import cells_of
from qibai.core.errors import BadRequest, QibaiError
from qibai.core.oldfile.line import MOST_IN_LINE, BadOldLine, OldLine, OrderFrom, bad
from qibai.core.oldfile.shapes import READERS, Shape, detect, unwrap

#: A line's number, and what stands there: a row of CSV, or JSON.
RawRow = tuple[int, str]

_decode: Final = msgspec.json.Decoder().decode


class _NoObject(BadRequest):
    """This is not a JSON object."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows of an export are read; ``shape`` None: the first row will show it."""

    form: FileFormat
    orders: OrderFrom = OrderFrom.OUT_ID
    shape: Shape | None = None
    header: tuple[str, ...] = ()

    def lines(self, rows: Iterable[RawRow]) -> Iterator[OldLine | BadOldLine]:
        """The bindings in the rows. Each has a place of its own: its line × 1,000 and where in the line."""
        for number, raw in rows:
            try:
                found = self._bindings(raw)
            except QibaiError as exc:
                yield bad(number * MOST_IN_LINE, number, exc)
                continue
            for part, one in enumerate(found):
                yield self._line(number * MOST_IN_LINE + part, number, one)

    def told_by(self, rows: Sequence[RawRow]) -> "Reading":
        """The same, with the shape that the first row shows. Raise BadRequest when that is nobody's."""
        if self.shape is not None:
            return self
        for _, raw in rows:
            try:
                row = self._row(raw)
            except QibaiError:
                continue
            shape = detect(row)
            if shape is None:
                raise BadRequest(
                    "the fields do not show which vendor made this export; give --from", field="from"
                )
            return replace(self, shape=shape)
        if self.header and detect(dict.fromkeys(self.header, "")) is None:  # the only row, without a header
            raise BadRequest("the first line has to name the columns", field="file")
        return replace(self, shape=Shape.OWN)

    def _bindings(self, raw: str) -> Sequence[Any]:
        found = unwrap(self.shape or Shape.OWN, self._row(raw))
        if len(found) > MOST_IN_LINE:
            raise BadRequest(f"a line may hold {MOST_IN_LINE} bindings")
        return found

    def _row(self, raw: str) -> dict[str, Any]:
        if self.form is FileFormat.CSV:
            cells = cells_of(raw)
            if len(cells) != len(self.header):
                raise BadRequest(f"{len(self.header)} columns are needed")
            return dict(zip(self.header, cells, strict=True))
        try:
            row = _decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise _NoObject from None
        if not isinstance(row, dict):
            raise _NoObject
        return row

    def _line(self, place: int, number: int, row: Any) -> OldLine | BadOldLine:
        shape = self.shape or Shape.OWN
        try:
            if not isinstance(row, dict):
                raise _NoObject
            return READERS[shape](row).line(place, number, self.orders, shape.value)
        except QibaiError as exc:
            return bad(place, number, exc)


def raw_rows(text: Iterable[str], reading: Reading) -> Iterator[RawRow]:
    """The rows of an export whose header, if it has one, was read."""
    first = 1 if reading.form is FileFormat.CSV else 0
    for number, line in enumerate(text, 1):
        if number > first and line.strip():
            yield number, without_mark(number, line)


def with_header(text: Iterable[str], reading: Reading) -> Reading:
    """The same, with the columns that the first line of a CSV file names. Raise BadRequest."""
    if reading.form is FileFormat.JSONL:
        return reading
    header = header_of(text)
    if len(set(header)) != len(header) or not header:
        raise BadRequest("the first line names the columns, each once", field="file")
    return replace(reading, header=header)


def read_lines(text: Sequence[str], reading: Reading) -> Iterator[OldLine | BadOldLine]:
    """All bindings of an export that is at hand. Raise BadRequest when it is nobody's."""
    reading = with_header(text, reading)
    rows = list(raw_rows(text, reading))
    return reading.told_by(rows).lines(rows)
