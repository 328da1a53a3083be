"""How many messages one sender may write to one number, and all senders to it. Counted in memory."""

from typing import Final

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from qibai.config import MessagingConfig
from qibai.core.numbering import Msisdn, Number700

NOTICE_S: Final = 600  #: a refused sender gets at most one notice in this time


class Limits:
    """The limits of one gateway; they start again when it starts."""

    def __init__(self, config: MessagingConfig) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        per_number, per_pair = config.number_per_minute, config.pair_per_minute
        self._number = RateLimitItemPerMinute(per_number, namespace="number") if per_number else None
        self._pair = RateLimitItemPerMinute(per_pair, namespace="pair") if per_pair else None
        self._notice = RateLimitItemPerSecond(1, NOTICE_S, namespace="notice")

    def allow(self, called: Number700, caller: Msisdn) -> bool:
        """Count one more message; False when there are too many."""
        number = str(called)
        if self._pair is not None and not self._limiter.hit(self._pair, number, caller.e164):
            return False
        return self._number is None or self._limiter.hit(self._number, number)

    def may_tell(self, called: Number700, caller: Msisdn) -> bool:
        """Returns True if a refused sender may get a notice now."""
        return self._limiter.hit(self._notice, str(called), caller.e164)
