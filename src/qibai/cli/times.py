"""Times and spans as people type them on the command line."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from qibai.core.errors import BadRequest

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|min|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}


def span(text: str, field: str) -> timedelta:
    """``90s``, ``15min``, ``1h`` or ``2d``. Raise BadRequest."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise BadRequest("give a span as 90s, 15min, 1h or 2d", field=field)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def instant(text: str, field: str) -> datetime:
    """A time by RFC 3339, with its UTC offset, or a span: so long ago. Raise BadRequest."""
    if _SPAN.fullmatch(text.strip().lower()):
        return datetime.now(UTC) - span(text, field)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        example = "2026-06-01T14:03:00+08:00"
        raise BadRequest(f"give a time with its offset, as {example}, or how long ago, as 1h", field=field)
    return at
