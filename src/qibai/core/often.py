"""How often a person may trace by a party's number: a thousand tries would find a masked number."""

from collections.abc import Sequence
from typing import Final

#: In so many seconds, so many traces.
LIMITS: Final = ((3_600, 10), (86_400, 30))


def wait_s(ages_s: Sequence[float]) -> float:
    """Seconds until the next trace is allowed, 0: now. ``ages_s``: of those before, the youngest first."""
    waits = [within - ages_s[most - 1] for within, most in LIMITS if len(ages_s) >= most]
    return max(0.0, *waits) if waits else 0.0
