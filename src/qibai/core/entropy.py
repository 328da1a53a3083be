"""Random bytes for many draws at once: a system call for each would be a good part of what a bulk costs."""

import os
from typing import Final

_CHUNK: Final = 512


class Entropy:
    """The operating system's random bytes, fetched ahead. For one batch: no copy must survive a fork."""

    __slots__ = ("_at", "_chunk")

    def __init__(self) -> None:
        self._chunk = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """``count`` bytes (at most 512) that nobody has had."""
        end = self._at + count
        if end > len(self._chunk):
            self._chunk, self._at, end = os.urandom(_CHUNK), 0, count
        found = self._chunk[self._at : end]
        self._at = end
        return found

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1; uniform within 2**-32 for any ``bound`` up to 2**32."""
        return int.from_bytes(self.take(8), "big") % bound
