"""Parts that went out and were not answered: what may settle them, and how often they may go out again."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from qibai.messaging.held import Held

MAX_TRIES: Final = 2  #: a part goes out so often without an answer, over all links and restarts
MAX_DOUBTS: Final = 50_000  #: that a receipt is matched with


@dataclass(frozen=True, slots=True)
class Doubt:
    """A part in doubt, and how its message was cut."""

    held: Held
    part: int
    link: str
    long: str
    total: int


class Doubts:
    """Those of one gateway, by link and by the numbers that a receipt would name."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], list[Doubt]] = {}
        self._count = 0
        self.counts: Counter[str] = Counter()  #: by what became of them

    def add(self, pair: bytes, doubt: Doubt) -> None:
        if self._count < MAX_DOUBTS:
            self._known.setdefault((doubt.link, pair), []).append(doubt)
            self._count += 1

    def only(self, link: str, pair: bytes | None) -> Doubt | None:
        """The one part that a receipt with this pair can be about; None where there is none, or several."""
        if pair is None:
            return None
        known = self._known.get((link, pair), [])
        open_ = [
            doubt for doubt in known if doubt.held.tries(doubt.part) and not doubt.held.row.state.is_final
        ]
        self._count -= len(known) - len(open_)
        if open_:
            self._known[link, pair] = open_
        else:
            self._known.pop((link, pair), None)
        return open_[0] if len({(doubt.held.key, doubt.part) for doubt in open_}) == 1 else None
