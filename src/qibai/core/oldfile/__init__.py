"""Exports of old bindings: our own shape and the vendors' query shapes, CSV or JSON Lines."""

from qibai.core.oldfile.line import BadOldLine, OldLine, OrderFrom
from qibai.core.oldfile.read import RawRow, Reading, raw_rows, read_lines, with_header
from qibai.core.oldfile.shapes import COLUMNS, Shape

__all__ = [
    "COLUMNS",
    "BadOldLine",
    "OldLine",
    "OrderFrom",
    "RawRow",
    "Reading",
    "Shape",
    "raw_rows",
    "read_lines",
    "with_header",
]
