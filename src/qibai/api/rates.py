"""How often one key may ask, counted in this worker's memory."""

import math
import time
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from qibai.api.errors import RateLimited

#: What answers say of the limit, where there is one.
HEADERS: Final = {
    "RateLimit-Limit": "How many requests a second this key may make.",
    "RateLimit-Remaining": "How many of them are left in this second.",
    "RateLimit-Reset": "Seconds until they are all there again.",
}


class Rates:
    """The limit of each key; nothing is counted where there is none."""

    def __init__(self, per_second: int, workers: int) -> None:
        """``per_second``: of one key, over all ``workers``; 0: no limit."""
        share = math.ceil(per_second / workers)
        self._item = RateLimitItemPerSecond(share, namespace="key") if per_second else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, key_id: str) -> dict[str, str]:
        """The headers for the answer. Raise RateLimited when this is one request too many."""
        if self._item is None:
            return {}
        allowed = self._limiter.hit(self._item, key_id)
        window = self._limiter.get_window_stats(self._item, key_id)
        reset = str(max(1, math.ceil(window.reset_time - time.time())))
        values = (str(self._item.amount), str(max(0, window.remaining)), reset)
        headers = dict(zip(HEADERS, values, strict=True))
        if not allowed:
            raise RateLimited(headers | {"Retry-After": reset})
        return headers
