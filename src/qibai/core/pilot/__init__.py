"""The pilot's rules: phases, approvals, certificates, the lives of applications and codes."""

from qibai.core.pilot.calendar import BEIJING, Calendar, Phase
from qibai.core.pilot.clock import pilot_time, shift_by
from qibai.core.pilot.life import (
    APPLICATION_MOVES,
    CODE_MOVES,
    ApplicationState,
    CodeEvent,
    CodeState,
    after_application,
    after_code,
)
from qibai.core.pilot.rights import CodeRights, Rules
from qibai.core.pilot.rules import (
    DOCUMENT,
    OPERATOR,
    Rule,
    document_of,
    may_bind,
    may_call,
    may_serve_existing,
)
from qibai.core.pilot.standing import CodeStanding, Span, Standing

__all__ = [
    "APPLICATION_MOVES",
    "BEIJING",
    "CODE_MOVES",
    "DOCUMENT",
    "OPERATOR",
    "ApplicationState",
    "Calendar",
    "CodeEvent",
    "CodeRights",
    "CodeStanding",
    "CodeState",
    "Phase",
    "Rule",
    "Rules",
    "Span",
    "Standing",
    "after_application",
    "after_code",
    "document_of",
    "may_bind",
    "may_call",
    "may_serve_existing",
    "pilot_time",
    "shift_by",
]
