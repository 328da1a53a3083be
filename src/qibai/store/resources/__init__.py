"""Carriers, application platforms, papers, the lives of codes, locks and quotas, as operators change them.

Every change is one transaction on the connection given, all or nothing, and counts up `standing.version`.
"""

from qibai.store.resources.applications import (
    Application,
    Step,
    draft,
    history,
    list_applications,
    move,
    require_past,
)
from qibai.store.resources.codes import (
    assign,
    choose,
    close,
    drain,
    give,
    open_,
    restore,
    resume,
    return_,
    set_aside,
)
from qibai.store.resources.locks import NumberLock, list_locks, lock, unlock
from qibai.store.resources.outcome import Outcome, Terms, grant
from qibai.store.resources.papers import (
    Kind,
    Paper,
    PaperRow,
    add_paper,
    leave_early,
    list_papers,
    renew,
    revoke,
)
from qibai.store.resources.platforms import (
    Carrier,
    Platform,
    add_platform,
    list_carriers,
    list_platforms,
    place_tenant,
    remove_platform,
    set_carrier,
)
from qibai.store.resources.quotas import Quota, drop_quota, list_quotas, set_quota

__all__ = [
    "Application",
    "Carrier",
    "Kind",
    "NumberLock",
    "Outcome",
    "Paper",
    "PaperRow",
    "Platform",
    "Quota",
    "Step",
    "Terms",
    "add_paper",
    "add_platform",
    "assign",
    "choose",
    "close",
    "draft",
    "drain",
    "drop_quota",
    "give",
    "grant",
    "history",
    "leave_early",
    "list_applications",
    "list_carriers",
    "list_locks",
    "list_papers",
    "list_platforms",
    "list_quotas",
    "lock",
    "move",
    "open_",
    "place_tenant",
    "remove_platform",
    "renew",
    "require_past",
    "restore",
    "resume",
    "return_",
    "revoke",
    "set_aside",
    "set_carrier",
    "set_quota",
    "unlock",
]
