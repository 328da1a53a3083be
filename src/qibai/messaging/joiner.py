"""Long messages that are still coming: which parts are there, in whatever order. No I/O."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from qibai.core.text import Part
from qibai.messaging.facts import MessageKey
from qibai.store.messages import MessageRow

MAX_WAITING: Final = 50_000  #: parts in memory
_MAX_DONE: Final = 50_000  #: whole messages that are remembered


class LongKey(NamedTuple):
    """Which long message a part belongs to."""

    link: str
    sender: str
    called: str
    ref: int
    total: int
    wide: bool


@dataclass(slots=True)
class Waiting:
    """A part that is there. ``stored``: PostgreSQL has it."""

    row: MessageRow
    part: Part
    stored: bool = False


@dataclass(slots=True)
class _Long:
    parts: dict[int, Waiting] = field(default_factory=dict)
    closed: bool = False


class Joiner:
    """All long messages of a gateway that are not whole."""

    def __init__(self, remember_s: float) -> None:
        """``remember_s``: a part that comes again so long after its message is no new one."""
        self._remember_s = remember_s
        self._long: dict[LongKey, _Long] = {}
        self._done: OrderedDict[tuple[LongKey, int, bytes], tuple[int, float]] = OrderedDict()
        self._where: dict[MessageKey, tuple[LongKey, int]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def known(self, key: LongKey, part: Part, now: float) -> int | None:
        """The id of the same part, where it came before under another name."""
        seq = part.concat.seq if part.concat else 0
        waiting = self._long[key].parts.get(seq) if key in self._long else None
        if waiting is not None and waiting.stored and waiting.part == part:
            return waiting.row.id
        done = self._done.get((key, seq, _digest(part)))
        return done[0] if done is not None and now - done[1] < self._remember_s else None

    def is_new(self, key: LongKey) -> bool:
        """Whether no part of it waits."""
        return key not in self._long

    def add(self, key: LongKey, waiting: Waiting) -> None:
        """One more part is there; the first that has a place keeps it."""
        seq = waiting.part.concat.seq if waiting.part.concat else 0
        long = self._long.setdefault(key, _Long())
        if seq not in long.parts:
            long.parts[seq] = waiting
            self._where[waiting.row.key] = (key, seq)

    def is_full(self, key: LongKey) -> bool:
        """Whether all parts are there."""
        long = self._long.get(key)
        return long is not None and len(long.parts) == key.total

    def parts(self, key: LongKey) -> list[Waiting]:
        """The parts that are there, in order."""
        long = self._long.get(key)
        return [long.parts[seq] for seq in sorted(long.parts)] if long is not None else []

    def take(self, key: LongKey, last: MessageRow) -> list[Waiting] | None:
        """All parts in order, if they are all there, and stored but for ``last``: its bringer joins them."""
        long = self._long.get(key)
        if long is None or long.closed or len(long.parts) < key.total:
            return None
        if any(not waiting.stored and waiting.row is not last for waiting in long.parts.values()):
            return None
        long.closed = True
        return self.parts(key)

    def give_back(self, key: LongKey) -> None:
        """They were not joined after all."""
        if key in self._long:
            self._long[key].closed = False

    def done(self, key: LongKey, now: float) -> None:
        """They were joined, or refused as a whole."""
        long = self._long.pop(key, None)
        for seq, waiting in long.parts.items() if long else ():
            self._where.pop(waiting.row.key, None)
            self._done[key, seq, _digest(waiting.part)] = waiting.row.id, now
        while self._done and (
            len(self._done) > _MAX_DONE or now - next(iter(self._done.values()))[1] > self._remember_s
        ):
            self._done.popitem(last=False)

    def drop(self, row: MessageRow) -> bool:
        """A part waits no longer; False: it is just being joined."""
        key, seq = self._where.get(row.key, (None, 0))
        if key is None:
            return True
        long = self._long[key]
        if long.closed:
            return False
        del self._where[row.key], long.parts[seq]
        if not long.parts:
            del self._long[key]
        return True


def _digest(part: Part) -> bytes:
    return hashlib.blake2b(part.data, digest_size=16).digest()
