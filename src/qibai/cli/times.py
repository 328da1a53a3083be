"""Times and spans on the command line: typed with a zone, printed in UTC with its Z."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from qibai.core.errors import BadRequest
from qibai.core.times import utc_text

#: What help says of a time's form; a time without a zone is refused.
FORM: Final = "as 2026-06-01T14:03:00+08:00 or …T06:03:00Z"
_EXAMPLE: Final = "2026-06-01T14:03:00+08:00"
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|min|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}


def shown(at: datetime | str | None) -> str | None:
    """A time for people, as ``2026-06-01T06:03:00Z``; it can be typed as it is printed."""
    if not at:
        return None
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return utc_text(when)


def span(text: str, field: str) -> timedelta:
    """``90s``, ``15min``, ``1h`` or ``2d``. Raise BadRequest."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise BadRequest("give a span as 90s, 15min, 1h or 2d", field=field)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def moment(text: str, field: str) -> datetime:
    """A time by RFC 3339, with its zone. Raise BadRequest."""
    at = _read(text)
    if at is None:
        raise BadRequest(f"give a time with its zone, as {_EXAMPLE}", field=field)
    return at


def moment_of(field: str) -> Callable[[str], datetime]:
    """``moment`` for an option's ``parser``."""

    def time(text: str) -> datetime:
        return moment(text, field)

    return time


def instant(text: str, field: str) -> datetime:
    """A time with its zone, or a span: so long ago. Raise BadRequest."""
    if _SPAN.fullmatch(text.strip().lower()):
        return datetime.now(UTC) - span(text, field)
    at = _read(text)
    if at is None:
        raise BadRequest(f"give a time with its zone, as {_EXAMPLE}, or how long ago, as 1h", field=field)
    return at


def _read(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) and at if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
