"""Figures of a span of time: how calls went (ITU-T E.411, E.425), through which peers, and why others failed.

Pure: the store counts, this module divides.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from qibai.core.events import EndReason

STRANGERS: Final = "strangers"  #: senders that are no peer, together
#: Ends without an answer that show that the network did its part (E.425 7.3: user busy, ring no answer,
#: terminal rejection). Who hangs up before it rings has not shown that.
_EFFECTIVE: Final = frozenset({EndReason.BUSY, EndReason.NO_ANSWER, EndReason.REJECTED})
ANSWERED: Final = "answered"
UNANSWERED: Final = "unanswered"
FAILED: Final = "failed"


def outcome(reason: str | None, *, answered: bool, rang: bool) -> str:
    """What became of a call that went out and has ended.

    ANSWERED; UNANSWERED if the network did its part, for example if the callee was busy; FAILED else.

    ASR (E.411) is answered / all, NER (E.425) is (answered + unanswered) / all.
    """
    if answered:
        return ANSWERED
    return UNANSWERED if reason in _EFFECTIVE or (reason == EndReason.CANCELLED and rang) else FAILED


class CallTally(NamedTuple):
    """So many calls that are alike; ``seconds`` from answer to end, of those that have both."""

    caller_peer: str | None
    callee_peer: str | None
    went_out: bool  #: the platform let it through
    answered: bool
    rang: bool
    ended: bool
    reason: str | None
    calls: int
    seconds: float


class CallFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that began in the span. Ratios are from 0 to 1, and null where nothing was counted.

    `seizures`: calls that went out and were answered or ended. `asr`: answered / seizures (E.411). `ner`:
    answered, busy, rejected, rung without an answer / seizures (E.425). `acd_s`: mean seconds from answer to
    end. `post_dial_delay_s`: mean seconds from INVITE to ringing; `post_dial_delay_p95_s`: 95 % had less.
    """

    seizures: int
    answered: int
    under_way: int  #: neither answered nor ended yet
    refused: int  #: by the platform, before they went out
    asr: float | None
    ner: float | None
    acd_s: float | None
    post_dial_delay_s: float | None = None
    post_dial_delay_p95_s: float | None = None


class PeerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Calls to one peer; `failed` by reason, `gave_up 503` where the next peer was tried after that."""

    peer: str
    tried: int
    answered: int
    failed: dict[str, int]


class SourceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Calls from one peer; `refused` by reason."""

    peer: str
    calls: int
    answered: int
    refused: dict[str, int]


class ReasonCount(msgspec.Struct, frozen=True):
    """So many calls were not answered for `reason`; `refused`: it was the platform that refused them."""

    reason: str
    count: int
    refused: bool


class LinkFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one link; `link` empty: those that no link took. `doubt`: the peer may have taken them."""

    link: str
    accepted: int  #: from the link's peer
    refused: int  #: to the link's peer
    sent: int  #: to the link's peer, and no receipt yet
    delivered: int
    doubt: int
    failed: int


class TenantBindings(msgspec.Struct, frozen=True):
    """Bindings that are live now."""

    tenant: str
    bindings: int


class CodeHeadroom(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a code that nobody has and that do not rest; those with the fewest come first."""

    code: str
    tenant: str | None
    free: int
    total: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What happened from `since` to `until`. `bindings`, `codes` null: too many to be counted at once."""

    since: datetime
    until: datetime
    calls: CallFigures
    reasons: list[ReasonCount]
    peers: list[PeerFigures]
    sources: list[SourceFigures]
    links: list[LinkFigures]
    bindings: list[TenantBindings] | None
    codes: list[CodeHeadroom] | None


def call_figures(tallies: Iterable[CallTally], delays: tuple[float | None, float | None]) -> CallFigures:
    """``delays``: mean and 95th percentile of the post-dial delay, in seconds."""
    seizures = answered = effective = under_way = refused = ended = 0
    seconds = 0.0
    for one in tallies:
        if not one.went_out:
            refused += one.calls
        elif one.answered:
            answered += one.calls
            if one.ended:
                ended += one.calls
                seconds += one.seconds
        elif not one.ended:
            under_way += one.calls
            continue
        elif outcome(one.reason, answered=False, rang=one.rang) == UNANSWERED:
            effective += one.calls
        seizures += one.calls if one.went_out else 0
    return CallFigures(
        seizures=seizures,
        answered=answered,
        under_way=under_way,
        refused=refused,
        asr=_ratio(answered, seizures),
        ner=_ratio(answered + effective, seizures),
        acd_s=seconds / ended if ended else None,
        post_dial_delay_s=delays[0],
        post_dial_delay_p95_s=delays[1],
    )


def reason_counts(tallies: Iterable[CallTally]) -> list[ReasonCount]:
    """Why calls were not answered, the most frequent first."""
    counts: dict[tuple[str, bool], int] = {}
    for one in tallies:
        if one.ended and not one.answered:
            key = (one.reason or "unknown", not one.went_out)
            counts[key] = counts.get(key, 0) + one.calls
    found = [ReasonCount(reason, count, refused) for (reason, refused), count in counts.items()]
    return sorted(found, key=lambda one: (-one.count, one.reason))


def peer_figures(tallies: Iterable[CallTally], gave_up: Iterable[tuple[str, int]]) -> list[PeerFigures]:
    """By the peer that calls went to. ``gave_up``: a SIP status, a space and a peer's name, and how often."""
    found: dict[str, tuple[int, int, dict[str, int]]] = {}

    def add(peer: str, answered: int, failed: int, reason: str) -> None:
        tried, had, reasons = found.get(peer, (0, 0, {}))
        if failed:
            reasons[reason] = reasons.get(reason, 0) + failed
        found[peer] = (tried + answered + failed, had + answered, reasons)

    for one in tallies:
        if one.went_out and one.callee_peer and (one.answered or one.ended):
            missed = 0 if one.answered else one.calls
            add(one.callee_peer, one.calls - missed, missed, one.reason or "unknown")
    for said, count in gave_up:
        status, _, peer = said.partition(" ")
        add(peer, 0, count, f"gave_up {status}")
    return [
        PeerFigures(peer=peer, tried=tried, answered=answered, failed=_sorted(failed))
        for peer, (tried, answered, failed) in sorted(found.items())
    ]


def source_figures(tallies: Iterable[CallTally]) -> list[SourceFigures]:
    """By the peer that calls came from."""
    found: dict[str, tuple[int, int, dict[str, int]]] = {}
    for one in tallies:
        calls, answered, refused = found.get(one.caller_peer or "unknown", (0, 0, {}))
        if not one.went_out:
            reason = one.reason or "unknown"
            refused[reason] = refused.get(reason, 0) + one.calls
        found[one.caller_peer or "unknown"] = (
            calls + one.calls,
            answered + (one.calls if one.answered else 0),
            refused,
        )
    return [
        SourceFigures(peer=peer, calls=calls, answered=answered, refused=_sorted(refused))
        for peer, (calls, answered, refused) in sorted(found.items())
    ]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
