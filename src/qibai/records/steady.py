"""A clock that nobody sets, for the ages of calls."""

import time


class SteadyClock:
    """Unix time as it was when this was made, counted on by the monotonic clock."""

    def __init__(self) -> None:
        self._began_ahead = self._ahead = self._ahead_now()

    def now(self) -> float:
        """In seconds. It differs from ``time.time()`` by as much as that was set since."""
        return time.monotonic() + self._began_ahead

    def set_by(self) -> float:
        """By how many seconds the wall clock was set since this was last asked; slow turning is near 0."""
        before, self._ahead = self._ahead, self._ahead_now()
        return self._ahead - before

    @staticmethod
    def _ahead_now() -> float:
        return time.time() - time.monotonic()
