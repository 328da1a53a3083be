"""How a time stands in a sentence: in UTC, as it can be typed again."""

from datetime import UTC, datetime


def utc_text(at: datetime) -> str:
    """As ``2026-06-01T06:03:00Z``; ``at`` has a zone."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
