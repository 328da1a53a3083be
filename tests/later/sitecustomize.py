"""Python under a clock that libfaketime moves: ``time.sleep`` waits by ``select``.

libfaketime 0.9.10 (Debian 12) gives the kernel a wrong deadline for ``clock_nanosleep`` where the monotonic
clock is left alone; and it has to be left alone, since a semaphore's wait takes the real one.
"""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
