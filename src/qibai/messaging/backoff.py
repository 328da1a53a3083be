"""How long to wait before the next attempt."""

import random
from typing import Final

STEPS_S: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0)
KEY_WAIT_S: Final = 5.0  #: between tries of what is sealed under a key that this node has not got yet


def wait_s(attempts: int, asked_s: float | None = None) -> float:
    """Seconds after so many attempts (1 …), spread so that not all come at once; ``asked_s``: at least."""
    step = STEPS_S[min(max(attempts, 1), len(STEPS_S)) - 1]
    return max(step * random.uniform(0.8, 1.2), asked_s or 0.0)  # noqa: S311  # no secret
