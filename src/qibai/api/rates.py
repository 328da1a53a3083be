"""How often one key may ask, counted in this worker's memory."""

import math
import time
from typing import Final

from qibai.api.errors import RateLimited

#: What answers say of the limit, where there is one.
HEADERS: Final = {
    "RateLimit-Limit": "How many requests a second this key may make.",
    "RateLimit-Remaining": "How many of them are left in this second.",
    "RateLimit-Reset": "Seconds until they are all there again.",
}
_WINDOW_S: Final = 1.0
_RESET: Final = "1"  #: whole seconds, and a window is no longer


class Rates:
    """The limit of each key; nothing is counted where there is none.

    Seconds are the monotonic clock's: if the clock of the day was set back, a key would else be refused for
    as long as that.
    """

    def __init__(self, per_second: int, workers: int) -> None:
        """``per_second``: of one key, over all ``workers``; 0: no limit."""
        self._most = math.ceil(per_second / workers)
        self._began = -math.inf
        self._asked: dict[str, int] = {}  #: bounded: only keys of this second are in it

    def count(self, key_id: str) -> dict[str, str]:
        """The headers for the answer. Raise RateLimited when this is one request too many."""
        if not self._most:
            return {}
        now = time.monotonic()
        if now - self._began >= _WINDOW_S:
            self._began = now
            self._asked.clear()
        asked = self._asked[key_id] = self._asked.get(key_id, 0) + 1
        values = (str(self._most), str(max(0, self._most - asked)), _RESET)
        headers = dict(zip(HEADERS, values, strict=True))
        if asked > self._most:
            raise RateLimited(headers | {"Retry-After": _RESET})
        return headers
