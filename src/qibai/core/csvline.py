"""A row of CSV is one line, always.

No value of our files holds a line break. So a quote that nobody closes spoils its own line, and never those
after it.
"""

import csv

from qibai.core.errors import BadRequest


def cells_of(line: str) -> list[str]:
    """The cells of one line, none for an empty line. Raise BadRequest, whose message shows no cell."""
    if line.count('"') % 2:  # also the last line of a value with a line break: csv takes its quote as text
        raise BadRequest("a quote on this line is not closed; a row of CSV is one line")
    try:
        return next(csv.reader((line,), strict=True), [])
    except csv.Error:
        raise BadRequest("this is not CSV") from None
