"""The rule of pairs: who dials which number of a binding, whom they reach, and what the reached party sees.

Everything that binds, changes, releases or explains a binding asks here. A mode and the size of its group say
it all, so the answers are made once and kept. Parties are named by their place in ``Parties.everyone``.
"""

from enum import Enum, IntEnum
from functools import lru_cache
from typing import NamedTuple

from qibai.core.binding import Messages, Mode


class Middle(IntEnum):
    """Which 700 number of the binding."""

    X = 0
    Y = 1


class Group(Enum):
    """What a pair has to do with a group."""

    NONE = "none"
    FROM = "from"  #: a member calls B
    TO = "to"  #: B calls the group, and reaches the member who called last


class Pair(NamedTuple):
    """``caller`` dials ``dialled`` and reaches ``callee``, who sees ``shown``.

    ``callee`` of a pair to a group is the first member: nobody has called yet.
    """

    dialled: Middle
    caller: int
    callee: int
    shown: Middle
    group: Group
    by_b: bool  #: B calls; else A, or a member of the group

    def may_write(self, messages: Messages) -> bool:
        """Whether the caller may also write text messages."""
        return messages.from_b if self.by_b else messages.from_a


@lru_cache(maxsize=1_024)
def occupied(mode: Mode, parties: int) -> tuple[Pair, ...]:
    """The pairs that a binding of so many parties has for itself, while it lives and in quarantine."""
    near, far = Middle.X, Middle.Y if mode.has_y else Middle.X
    b = parties - 1
    to_b = Group.FROM if mode.is_group else Group.NONE
    from_b = Group.TO if mode.is_group else Group.NONE
    calls = [Pair(near, caller, b, far, to_b, by_b=False) for caller in range(b)]
    return (*calls, Pair(far, b, 0, near, from_b, by_b=True))


@lru_cache(maxsize=1_024)
def forbidden(mode: Mode, parties: int) -> tuple[tuple[Middle, int], ...]:
    """The (number, party) pairs that no binding may occupy beside it: no real number repeats on X and Y."""
    numbers = (Middle.X, Middle.Y) if mode.has_y else (Middle.X,)
    own = {(pair.dialled, pair.caller) for pair in occupied(mode, parties)}
    return tuple(
        (number, party) for number in numbers for party in range(parties) if (number, party) not in own
    )
