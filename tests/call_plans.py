"""What may happen in a call, put together at random, and what its record is to say then."""

import random
from dataclasses import dataclass

from qibai.testing.sip_agent import SipLine

WHO = ("waits", "waits", "waits", "waits", "cancels", "cancels at once", "hangs up early")
PEERS = (
    *[("answers", "dead")] * 5,
    ("fails", "answers"),
    ("dead", "answers"),
    ("late", "answers"),
    ("fails", "fails"),
    ("dead", "dead"),
    ("fails", "dead"),
    ("late", "dead"),
)
ANSWERS = ("once", "once", "once", "forked", "forked later", "unreadable", "busy", "none")


@dataclass(frozen=True)
class Plan:
    """One call."""

    caller: str  #: what the caller does before an answer, see ``WHO``
    peers: tuple[str, str]  #: what the first and the second peer do with the INVITE, see ``PEERS``
    answer: str  #: how the callee answers, see ``ANSWERS``
    reliable: bool  #: 183 that wants a PRACK, in the place of 180
    crosses: bool  #: the callee answers as the CANCEL or the early BYE comes
    delay: float  #: seconds between ringing and answer
    change: str  #: the caller's re-INVITE: none, refused, accepted
    hangs_up: str  #: caller or callee
    refuses_bye: bool  #: the first BYE in each dialog is answered with 500

    @property
    def is_reached(self) -> bool:
        return "answers" in self.peers

    @property
    def connects(self) -> bool:
        """Returns True if the caller is to get an answer and talks."""
        return (
            self.is_reached and self.caller == "waits" and self.answer in ("once", "forked", "forked later")
        )

    @property
    def reasons(self) -> set[str]:
        """What the record may give as the reason."""
        if self.caller == "cancels at once":  # it may come before or after the peer's word
            early = {"cancelled"}
            if self.is_reached and not self.crosses:
                return early
            return early | {"answered", "unreachable", "answer_unusable"}
        if not self.is_reached:
            return {"unreachable"}
        if self.caller != "waits":
            if self.crosses and self.answer == "unreadable":
                return {"answer_unusable"}
            return {"answered"} if self.crosses else {"cancelled"}
        return {
            {"unreadable": "answer_unusable", "busy": "busy", "none": "no_answer"}.get(
                self.answer, "answered"
            )
        }

    @property
    def ended_by(self) -> str | None:
        """Who the record is to name; None: that is left open."""
        return self.hangs_up if self.connects else None


@dataclass(kw_only=True)
class PlannedLine(SipLine):
    """A dialog of a planned call."""

    plan: Plan

    def __post_init__(self) -> None:
        self.refuses_bye = self.plan.refuses_bye


def _plan(
    caller: str = "waits",
    peers: tuple[str, str] = ("answers", "dead"),
    answer: str = "once",
    *,
    crosses: bool = False,
    refuses_bye: bool = False,
) -> Plan:
    return Plan(caller, peers, answer, False, crosses, 0.02, "none", "caller", refuses_bye)


#: What once went wrong.
KNOWN = (
    _plan(peers=("late", "dead")),
    _plan(peers=("late", "answers"), answer="none", crosses=True, refuses_bye=True),
    _plan(peers=("late", "dead"), answer="unreadable"),
    _plan(answer="unreadable", refuses_bye=True),
    _plan(answer="forked", refuses_bye=True),
    _plan("cancels at once", ("answers", "answers")),
    _plan("cancels at once", ("dead", "answers"), crosses=True),
)


def draw(source: random.Random) -> Plan:
    answer = source.choice(ANSWERS)
    return Plan(
        caller=source.choice(WHO),
        peers=source.choice(PEERS),
        answer=answer,
        reliable=source.random() < 0.3,
        crosses=source.random() < 0.5,
        delay=source.choice((0.0, 0.02, 0.2)),
        change=source.choice(("none", "none", "refused", "accepted")),
        # Of two answers at once either may be the one that counts: only the caller knows.
        hangs_up="caller" if answer == "forked" else source.choice(("caller", "callee")),
        refuses_bye=source.random() < 0.3,
    )
