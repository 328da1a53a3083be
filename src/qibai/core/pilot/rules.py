"""Who may bind, who may be called, whether an old number may still serve: the pilot's rules.

Each function returns the rule that forbids, or None. They are asked at the moment of each bind and each call.
"""

from enum import Enum
from typing import Final

from qibai.core.pilot.calendar import Calendar, Phase
from qibai.core.pilot.life import CodeState
from qibai.core.pilot.standing import CodeStanding, Span, Standing

#: 关于开展号码保护服务业务试点的通知
DOCUMENT: Final = "工信部信管函〔2025〕130号"
OPERATOR: Final = "the operator's own rules"


class Rule(Enum):
    """A rule of the pilot: its stable id, and one sentence for whoever was refused."""

    NOT_OPEN = ("pilot_not_open", "The 700 range is not open before the transition begins.")
    ENDED = ("pilot_ended", "The pilot is over.")
    NOT_APPLIED = ("pilot_not_applied", "The application platform has not applied for the pilot.")
    NOT_APPROVED = ("pilot_not_approved", "The application platform holds no valid pilot approval.")
    NO_CERTIFICATE = ("certificate_invalid", "The application platform holds no valid certificate for codes.")
    REVOKED = ("approval_revoked", "The application platform's approval was revoked.")
    EXITED = ("pilot_exited", "The application platform is leaving the pilot.")
    CODE_NOT_OPEN = ("code_not_open", "The carrier has not opened this code.")
    CODE_NOT_IN_PROVINCE = ("code_not_in_province", "The carrier has not opened this code in that province.")
    CODE_DRAINING = ("code_draining", "The code is being returned.")
    CODE_RETURNED = ("code_returned", "The code was returned.")
    CODE_LOCKED = ("code_locked", "The code is set aside by the operator.", OPERATOR)
    NUMBER_LOCKED = ("number_locked", "The number is locked by the operator.", OPERATOR)
    ONLY_700 = ("only_700", "Only 700 numbers may serve as middle numbers.")
    MOVED = ("moved_to_700", "The enterprise has moved to 700 numbers; its old middle numbers serve no more.")
    AXN_OFF = ("axn_off", "Numbers that anyone may dial are switched off (pilot.existing_axn).", OPERATOR)

    def __init__(self, id: str, text: str, document: str = DOCUMENT) -> None:
        self.id = id
        self.text = text
        self.document = document  #: the document that the rule comes from

    def __str__(self) -> str:
        return self.id


def document_of(reason: str | None) -> str | None:
    """The document that a rule comes from, by the rule's id; None when this is no rule's."""
    return _DOCUMENTS.get(reason or "")


_DOCUMENTS: Final = {rule.id: rule.document for rule in Rule}


def may_bind(
    calendar: Calendar, standing: Standing, code: CodeStanding, now: float, *, province: str | None = None
) -> Rule | None:
    """Whether a number of ``code`` may be bound at ``now`` (Unix seconds), in ``province`` if given."""
    return (
        _phase(calendar, now)
        or _platform(calendar, standing, now, grace=0.0)
        or _exit(standing, now)
        or _code_for_bind(code, province)
    )


def may_call(
    calendar: Calendar, standing: Standing, code: CodeStanding, now: float, *, grace: float
) -> Rule | None:
    """Whether a bound number of ``code`` may be called at ``now``.

    ``grace`` is for how many seconds calls go on after a certificate or approval ended or was revoked. An
    early exit and a lock stop new binds only: what is bound runs out.
    """
    if grace < 0:
        raise ValueError("a grace cannot be negative")
    return _phase(calendar, now) or _platform(calendar, standing, now, grace=grace) or _code_for_call(code)


def operator_lets_bind(code: CodeStanding) -> Rule | None:
    """What stands against a bind where the pilot's calendar is not configured: the operator's acts alone."""
    if code.locked:
        return Rule.CODE_LOCKED
    return Rule.CODE_DRAINING if code.state is CodeState.DRAINING else operator_lets_call(code)


def operator_lets_call(code: CodeStanding) -> Rule | None:
    """What stands against a call where the pilot's calendar is not configured."""
    return Rule.CODE_RETURNED if code.state is CodeState.RETURNED else None


def may_serve_existing(calendar: Calendar, standing: Standing, now: float) -> Rule | None:
    """Whether a number outside 700 may still serve as a middle number.

    Until the transition's end it may, from the transition's start only for enterprises that applied.
    """
    phase = calendar.phase(now)
    if phase in (Phase.FORMAL, Phase.ENDED):
        return Rule.ONLY_700
    if phase is Phase.TRANSITION:
        return _revoked(standing, now, 0.0) or _applied(standing, now)
    return None


def _phase(calendar: Calendar, now: float) -> Rule | None:
    phase = calendar.phase(now)
    if phase in (Phase.BEFORE, Phase.PREPARATION):
        return Rule.NOT_OPEN
    return Rule.ENDED if phase is Phase.ENDED else None


def _platform(calendar: Calendar, standing: Standing, now: float, *, grace: float) -> Rule | None:
    """In the transition it is enough to have applied; codes need a certificate in either phase."""
    if (rule := _revoked(standing, now, grace)) is not None:
        return rule
    if calendar.phase(now) is Phase.TRANSITION:
        rule = _applied(standing, now)
    elif standing.approval is None or not _within(standing.approval, now, grace):
        rule = Rule.NOT_APPROVED
    if rule is not None:
        return rule
    certificate = standing.certificate
    return None if certificate is not None and _within(certificate, now, grace) else Rule.NO_CERTIFICATE


def _within(span: Span, now: float, grace: float) -> bool:
    return span.start <= now < span.end + grace


def _revoked(standing: Standing, now: float, grace: float) -> Rule | None:
    at = standing.revoked_at
    return Rule.REVOKED if at is not None and now >= at + grace else None


def _applied(standing: Standing, now: float) -> Rule | None:
    at = standing.applied_at
    return None if at is not None and at <= now else Rule.NOT_APPLIED


def _exit(standing: Standing, now: float) -> Rule | None:
    at = standing.exit_at
    return Rule.EXITED if at is not None and now >= at else None


def _code_for_bind(code: CodeStanding, province: str | None) -> Rule | None:
    if code.locked:
        return Rule.CODE_LOCKED
    if code.state is CodeState.DRAINING:
        return Rule.CODE_DRAINING
    if (rule := _code_for_call(code)) is not None:
        return rule
    if province is not None and province not in code.provinces:
        return Rule.CODE_NOT_IN_PROVINCE
    return None if code.provinces else Rule.CODE_NOT_OPEN


def _code_for_call(code: CodeStanding) -> Rule | None:
    if code.state is CodeState.ASSIGNED:
        return Rule.CODE_NOT_OPEN
    return Rule.CODE_RETURNED if code.state is CodeState.RETURNED else None
