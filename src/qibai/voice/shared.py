"""What the workers of this node remember together of running calls, in Kamailio's shared memory.

It only ever makes things more exact: another node, or this one after a restart, serves a call without it.
"""

import time
from typing import Final

from qibai.voice.ksr import Ksr
from qibai.voice.variables import OWED_KEY, OWED_VALUE

_TABLE: Final = "calls"
_MEDIA_AWAY: Final = "media"  #: every key of a call begins with its number
_OWED: Final = "owed"  #: a table of its own; and the note in the other one that it has entries
_ENDED_S: Final = 600  #: so long it is known that a call has ended; by then its record says so


class CallMemory:
    """Short notes by call and name; each goes by itself after a day."""

    def __init__(self, ksr: Ksr) -> None:
        self._table = ksr.htable
        self._pv = ksr.pv

    def note(self, call_id: int, name: str, value: str) -> None:
        """Remember ``value``, in the place of what was noted under ``name``."""
        self._table.sht_sets(_TABLE, f"{call_id}{name}", value)

    def look(self, call_id: int, name: str) -> str | None:
        """What was noted; None when nothing was."""
        found = self._table.sht_get(_TABLE, f"{call_id}{name}")
        return None if found is None else str(found)

    def is_first(self, what: str, seconds: int) -> bool:
        """Returns True the first time that ``what`` is asked about in ``seconds``."""
        key = f"1{what}"
        if self._table.sht_get(_TABLE, key) is not None:
            return False
        self._table.sht_sets(_TABLE, key, "1")
        self._table.sht_setex(_TABLE, key, seconds)
        return True

    def drop(self, call_id: int, name: str) -> None:
        """Forget one note."""
        self._table.sht_rm(_TABLE, f"{call_id}{name}")

    def answered(self, call_id: int, tag: str) -> None:
        """The caller gets the answer of the callee's device whose tag this is, just now."""
        self.note(call_id, "!", f"{time.monotonic():.3f} {tag}")

    def answered_by(self, call_id: int) -> str | None:
        """The tag of the callee's device whose answer the caller got; None when that is not known here."""
        found = self.look(call_id, "!")
        return None if found is None else found.partition(" ")[2]

    def talked_ms(self, call_id: int) -> int | None:
        """Milliseconds since the answer, whatever the clock says; None when that was not seen here."""
        found = self.look(call_id, "!")
        return None if found is None else round((time.monotonic() - float(found.partition(" ")[0])) * 1000)

    def ended(self, call_id: int, *names: str) -> None:
        """The call is over: forget it and ``names``, but for its end."""
        for name in ("!", *names):
            self.drop(call_id, name)
            self.not_owed(call_id, name)
        self.note(call_id, "x", "1")
        self._table.sht_setex(_TABLE, f"{call_id}x", _ENDED_S)

    def is_over(self, call_id: int) -> bool:
        """Returns True if the call ended here a short while ago."""
        return self.look(call_id, "x") is not None

    def media_is_away(self, until: float) -> None:
        """rtpengine does not answer: ask it nothing before ``until``, in seconds of the monotonic clock."""
        self._table.sht_sets(_TABLE, _MEDIA_AWAY, str(until))

    def media_away_until(self) -> float | None:
        """When rtpengine may be asked again; None when it answers."""
        found = self._table.sht_get(_TABLE, _MEDIA_AWAY)
        return None if found is None else float(found)

    def media_is_back(self) -> None:
        """rtpengine answers again."""
        self._table.sht_rm(_TABLE, _MEDIA_AWAY)

    def owe(self, call_id: int, name: str, value: str) -> None:
        """Remember what rtpengine still has to hear of a call, once it answers; ``name``: the side's."""
        self._table.sht_sets(_OWED, f"{call_id}{name}", value)
        self._table.sht_sets(_TABLE, _OWED, "1")  # after the entry: whoever takes this note sees the entry

    def not_owed(self, call_id: int, name: str) -> None:
        """rtpengine need not hear it any more."""
        self._table.sht_rm(_OWED, f"{call_id}{name}")

    def owes(self) -> bool:
        """Whether there is anything that ``owe`` remembers."""
        return self._table.sht_get(_TABLE, _OWED) is not None

    def take_owed(self) -> list[str]:
        """All that ``owe`` remembers, which forgets it."""
        self._table.sht_rm(_TABLE, _OWED)
        found: dict[str, str] = {}
        self._table.sht_iterator_start(_OWED, _OWED)
        while self._table.sht_iterator_next(_OWED) > 0:
            found[self._pv.gete(OWED_KEY)] = self._pv.gete(OWED_VALUE)
        self._table.sht_iterator_end(_OWED)
        for key in found:
            self._table.sht_rm(_OWED, key)
        return list(found.values())
