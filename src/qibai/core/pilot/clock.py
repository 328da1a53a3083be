"""The rules' idea of now: the time that they are asked about, as it is.

Only tests shift it, from within the process, through ``qibai.testing.clock``; no configuration does.
"""

from collections.abc import Callable

_shift: Callable[[float], float] | None = None


def pilot_time(now: float) -> float:
    """The time (Unix seconds) that the pilot's rules go by at ``now``."""
    return now if _shift is None else _shift(now)


def shift_by(shift: Callable[[float], float] | None) -> None:
    """Let the rules' time be another than the clock's; None: the same again. For ``qibai.testing`` alone."""
    global _shift  # noqa: PLW0603  # one a process, as the clock is
    _shift = shift
