"""``decide``: where does a call from ``caller`` to a middle number go, and what does the callee see?

One pure function, used alike by voice, messages, the translation query and ``qibai route``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from qibai.core.existing import Dialled, ExistingNumber
from qibai.core.numbering import Msisdn


class RefusalReason(StrEnum):
    """Why nobody was connected; the value is the stable code that API and records use."""

    NOT_BOUND = "not_bound"
    ORDER_ENDED = "order_ended"
    NOT_A_PARTY = "not_a_party"
    CALLER_UNKNOWN = "caller_unknown"
    NUMBER_MALFORMED = "number_malformed"
    POLICY = "policy"
    STORE_UNAVAILABLE = "store_unavailable"
    MESSAGE_MALFORMED = "sip_malformed"  #: the INVITE cannot be read or passed on
    MEDIA_REFUSED = "media_refused"  #: the caller's session description cannot be used
    MEDIA_UNAVAILABLE = "media_unavailable"  #: our media relay does not answer
    NO_PEER = "no_peer"  #: no peer that calls go to is alive
    KEY_UNKNOWN = "key_unknown"  #: our key file lacks a key that another node has made


@dataclass(frozen=True, slots=True)
class SipStatus:
    """What a refusal looks like in SIP: our own status and phrase, and the Q.850 cause."""

    status: int
    phrase: str
    q850: int


#: Phrases are ours alone: a phrase chosen elsewhere could carry a number.
SIP_STATUS: Final[dict[RefusalReason, SipStatus]] = {
    RefusalReason.NOT_BOUND: SipStatus(404, "Not Found", 1),
    RefusalReason.ORDER_ENDED: SipStatus(410, "Gone", 22),
    RefusalReason.NOT_A_PARTY: SipStatus(403, "Forbidden", 21),
    RefusalReason.CALLER_UNKNOWN: SipStatus(403, "Forbidden", 21),
    RefusalReason.NUMBER_MALFORMED: SipStatus(404, "Not Found", 28),
    RefusalReason.POLICY: SipStatus(403, "Forbidden", 21),
    RefusalReason.STORE_UNAVAILABLE: SipStatus(503, "Service Unavailable", 41),
    RefusalReason.MESSAGE_MALFORMED: SipStatus(400, "Bad Request", 95),
    RefusalReason.MEDIA_REFUSED: SipStatus(488, "Not Acceptable Here", 88),
    RefusalReason.MEDIA_UNAVAILABLE: SipStatus(503, "Service Unavailable", 41),
    RefusalReason.NO_PEER: SipStatus(503, "Service Unavailable", 41),
    RefusalReason.KEY_UNKNOWN: SipStatus(503, "Service Unavailable", 41),
}


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """What the store holds of one (called, caller) pair; times are Unix seconds.

    ``caller_sealed`` and ``callee_sealed`` are encrypted real numbers: routing never opens them.
    """

    called: Dialled
    binding_id: int
    tenant_id: int
    shown: Dialled
    callee_sealed: bytes
    caller_sealed: bytes
    ends_at: float
    max_call_s: int
    to_group: bool  #: B calls the group
    from_group: bool  #: a member of the group calls B
    standing: int = 0  #: the number of the latest change of rights when the pair was read
    no_messages: bool = False  #: the caller may call, but not write
    home: int | None = None  #: of an old number's pair: the code that its binding lives under
    anyone: bool = False  #: an old number that anyone may dial (AXN)
    #: When the pair was read, by the store's clock: the time that says whether it is live.
    read_at: float = field(default=0.0, compare=False)

    @property
    def code(self) -> int:
        """What the binding and its calls live under, with ``binding_id`` what the numbers are tied to."""
        return self.called.code.value if self.home is None else self.home


@dataclass(frozen=True, slots=True)
class Route:
    """Connect to the callee of ``record``, showing ``record.shown``, for at most ``max_call_s`` seconds."""

    record: RouteRecord
    max_call_s: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Connect nobody. ``rule`` names the policy that refused, where one did."""

    reason: RefusalReason
    rule: str | None = None

    @property
    def sip(self) -> SipStatus:
        return SIP_STATUS[self.reason]


Decision = Route | Refusal

#: A policy may refuse a route that is otherwise fine (the pilot's phase, a certificate); it returns the rule.
Policy = Callable[[RouteRecord, float], str | None]


def no_policy(record: RouteRecord, now: float) -> str | None:
    """The policy that refuses nothing."""
    return None


def decide(
    called: Dialled | None,
    caller: Msisdn | None,
    record: RouteRecord | None,
    now: float,
    *,
    number_in_use: bool = False,
    policy: Policy = no_policy,
) -> Decision:
    """Decide one call or message; a number that could not be read is None.

    ``record`` is the stored pair of (called, caller), live or in quarantine, or None. ``number_in_use`` says,
    when there is none, whether anybody has a live binding on ``called``. ``now`` is Unix time in seconds.
    An ordinary number that nobody is bound on is no middle number at all.
    """
    if called is None:
        return Refusal(RefusalReason.NUMBER_MALFORMED)
    if caller is None:
        return Refusal(RefusalReason.CALLER_UNKNOWN)
    if record is None:
        if number_in_use:
            return Refusal(RefusalReason.NOT_A_PARTY)
        ordinary = isinstance(called, ExistingNumber)
        return Refusal(RefusalReason.NUMBER_MALFORMED if ordinary else RefusalReason.NOT_BOUND)
    if record.called != called:
        raise ValueError("the record is another number's")
    if record.ends_at <= now:
        return Refusal(RefusalReason.ORDER_ENDED)
    rule = policy(record, now)
    if rule is not None:
        return Refusal(RefusalReason.POLICY, rule)
    return Route(record, record.max_call_s)


class Look(NamedTuple):
    """All that a decision asks the store for: the pair's record, else whether anybody is bound on the number.

    ``at``: the time to decide by, Unix seconds. It is by the database's clock where a record was found: a
    binding that was released by that clock is over for every node, however slow the node's own clock is.
    """

    record: RouteRecord | None
    number_in_use: bool
    at: float

    def decide(self, called: Dialled, caller: Msisdn, policy: Policy = no_policy) -> Decision:
        """``decide`` by what was found."""
        return decide(called, caller, self.record, self.at, number_in_use=self.number_in_use, policy=policy)
