"""Times as PostgreSQL's binary protocol has them: microseconds since 2000-01-01."""

from typing import Final

EPOCH_S: Final = 946_684_800  #: 2000-01-01 in Unix time
MICROSECONDS: Final = 1_000_000


def to_pg(at: float) -> int:
    """From Unix time, in seconds."""
    return round((at - EPOCH_S) * MICROSECONDS)


def from_pg(at: int) -> float:
    """To Unix time, in seconds."""
    return at / MICROSECONDS + EPOCH_S
