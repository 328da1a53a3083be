"""The lives of an application and of a code: which step may follow which."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class ApplicationState(StrEnum):
    """An application for an approval, for codes, for their supplement or return, or to leave early."""

    DRAFTED = "drafted"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REFUSED = "refused"  #: with a reason; may be drafted again
    GRANTED = "granted"


APPLICATION_MOVES: Final[Mapping[ApplicationState, frozenset[ApplicationState]]] = {
    ApplicationState.DRAFTED: frozenset({ApplicationState.SUBMITTED}),
    ApplicationState.SUBMITTED: frozenset({ApplicationState.ACCEPTED, ApplicationState.REFUSED}),
    ApplicationState.ACCEPTED: frozenset({ApplicationState.GRANTED, ApplicationState.REFUSED}),
    ApplicationState.REFUSED: frozenset({ApplicationState.DRAFTED}),
    ApplicationState.GRANTED: frozenset(),
}


class CodeState(StrEnum):
    """Where a code stands between its assignment by MIIT and its return."""

    ASSIGNED = "assigned"
    OPENED = "opened"  #: by the carrier, in at least one province
    IN_USE = "in_use"
    DRAINING = "draining"  #: nothing new is bound; what is bound runs out
    RETURNED = "returned"


class CodeEvent(StrEnum):
    """What moves a code on."""

    OPEN = "open"
    USE = "use"
    DRAIN = "drain"
    RESUME = "resume"  #: a drain is called off
    RETURN = "return"  #: only once nothing is bound and every quarantine is over
    ASSIGN = "assign"  #: a returned code is assigned again


CODE_MOVES: Final[Mapping[tuple[CodeState, CodeEvent], CodeState]] = {
    (CodeState.ASSIGNED, CodeEvent.OPEN): CodeState.OPENED,
    (CodeState.ASSIGNED, CodeEvent.RETURN): CodeState.RETURNED,
    (CodeState.OPENED, CodeEvent.USE): CodeState.IN_USE,
    (CodeState.OPENED, CodeEvent.DRAIN): CodeState.DRAINING,
    (CodeState.IN_USE, CodeEvent.DRAIN): CodeState.DRAINING,
    (CodeState.DRAINING, CodeEvent.RESUME): CodeState.IN_USE,
    (CodeState.DRAINING, CodeEvent.RETURN): CodeState.RETURNED,
    (CodeState.RETURNED, CodeEvent.ASSIGN): CodeState.ASSIGNED,
}


def after_application(state: ApplicationState, to: ApplicationState) -> ApplicationState | None:
    """``to`` when an application in ``state`` may become it, else None."""
    return to if to in APPLICATION_MOVES[state] else None


def after_code(state: CodeState, event: CodeEvent, *, occupied: bool) -> CodeState | None:
    """The code's next state, or None when ``event`` cannot happen to it.

    ``occupied``: a number of the code is bound or in quarantine; then the code cannot be returned.
    """
    if event is CodeEvent.RETURN and occupied:
        return None
    return CODE_MOVES.get((state, event))
