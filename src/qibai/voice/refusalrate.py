"""A bound on the records of refused calls.

A flood of calls that nobody may make must fill neither the spool nor the database. So each source has a
number of records a minute; what is beyond is counted, and logged once a minute.
"""

import math
from typing import Final

STRANGERS: Final = "strangers"  #: all addresses that are no peer's, together
_SHARE: Final = 10  #: one stranger gets this part of what all strangers get
_MINUTE_S: Final = 60.0


class RefusalRate:
    """How many more refused calls of a source get a record in this minute. One worker's; no I/O."""

    def __init__(self, per_minute: int, workers: int) -> None:
        """``per_minute``: of one peer, and of all strangers, over all ``workers``."""
        self._most = math.ceil(per_minute / workers)
        self._one_stranger = math.ceil(self._most / _SHARE)
        self._began = float("-inf")
        self._admitted: dict[str, int] = {}  #: bounded: only what was admitted is in it
        self._told: set[str] = set()

    def admits(self, source: str, now: float, *, stranger: bool = False) -> bool:
        """Returns True if a refused call of ``source`` gets a record; ``now``: seconds of any one clock."""
        if now - self._began >= _MINUTE_S:
            self._began = now
            self._admitted.clear()
            self._told.clear()
        admitted = self._admitted
        if stranger:
            key = f"{STRANGERS} {source}"
            if admitted.get(key, 0) >= self._one_stranger or admitted.get(STRANGERS, 0) >= self._most:
                return False
            admitted[STRANGERS] = admitted.get(STRANGERS, 0) + 1
        else:
            key = f"peer {source}"
            if admitted.get(key, 0) >= self._most:
                return False
        admitted[key] = admitted.get(key, 0) + 1
        return True

    def tells(self, source: str) -> bool:
        """Returns True once a minute for a source that has no more records; strangers are one source."""
        if source in self._told:
            return False
        self._told.add(source)
        return True
