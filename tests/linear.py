"""Could these answers, which came side by side, have been given one after the other?

One binding's life is a register: each change that succeeded says what the binding was afterwards. A history
is right if its answers can be put into an order in which each follows from the one before, and in which no
answer stands before another that had been given before it was asked for (Herlihy and Wing, 1990).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

#: PostgreSQL's clock and ours are the same machine's; both are rounded to microseconds.
_ROUNDING: Final = timedelta(microseconds=10)


@dataclass(frozen=True)
class Seen:
    """A binding as an answer shows it."""

    a: str | None
    b: str
    members: tuple[str, ...]
    expires_at: datetime
    released_at: datetime | None = None


#: What the binding is after the answer, if the answer fits what it was before; else None.
Step = Callable[[Seen, "Done"], Seen | None]


@dataclass(frozen=True)
class Done:
    """One request and its answer."""

    name: str
    asked: datetime
    answered: datetime
    step: Step

    def may_see_active(self, state: Seen) -> bool:
        return state.released_at is None and self.asked < state.expires_at

    def may_see_over(self, state: Seen) -> bool:
        return state.released_at is not None or state.expires_at <= self.answered + _ROUNDING


def became(change: Callable[[Seen], Seen], shown: Seen) -> Step:
    """An active binding was changed, and the answer shows it so."""

    def step(state: Seen, done: Done) -> Seen | None:
        return shown if done.may_see_active(state) and change(state) == shown else None

    return step


def extended(shown: Seen) -> Step:
    return became(lambda state: replace(state, expires_at=shown.expires_at), shown)


def read(shown: Seen, status: str) -> Step:
    """It was shown as it is; and as over only if it was."""

    def step(state: Seen, done: Done) -> Seen | None:
        fits = {
            "active": done.may_see_active(state),
            "expired": state.released_at is None and done.may_see_over(state),
            "released": state.released_at is not None,
        }
        return state if shown == state and fits[status] else None

    return step


def released(status: str, ended_at: datetime) -> Step:
    """It was ended, or had been before: then the answer is that of then."""

    def step(state: Seen, done: Done) -> Seen | None:
        if state.released_at is not None:
            return state if (status, ended_at) == ("released", state.released_at) else None
        if status == "expired":
            return state if ended_at == state.expires_at and done.may_see_over(state) else None
        within = done.asked - _ROUNDING <= ended_at <= done.answered + _ROUNDING
        return replace(state, released_at=ended_at) if within and ended_at < state.expires_at else None

    return step


def refused_as_over() -> Step:
    return lambda state, done: state if done.may_see_over(state) else None


def last_states(start: Seen, history: Sequence[Done]) -> set[Seen]:
    """What the binding may be after all of ``history``; empty if no order explains the answers."""
    ordered = sorted(history, key=lambda done: done.asked)
    everything = (1 << len(ordered)) - 1
    ends: set[Seen] = set()
    looked: set[tuple[int, Seen]] = set()
    todo = [(0, start)]
    while todo:
        taken, state = todo.pop()
        if taken == everything:
            ends.add(state)
            continue
        left = [place for place in range(len(ordered)) if not taken >> place & 1]
        first_answer = min(ordered[place].answered for place in left)
        for place in left:
            done = ordered[place]
            if done.asked > first_answer:
                break
            after = done.step(state, done)
            if after is None:
                continue
            look = (taken | 1 << place, after)
            if look not in looked:
                looked.add(look)
                todo.append(look)
    return ends
