"""The SQLSTATEs that functions of our schema raise."""

from typing import Final

#: A binding was changed by somebody else since it was read.
CHANGED: Final = "QB001"
#: What the worker knows of rights is older than the store.
STALE: Final = "QB002"
#: Bindings would be more than a quota lets a tenant have.
QUOTA: Final = "QB003"
#: The audit trail only grows.
TRAIL: Final = "QB005"
#: A request for approval cannot be changed so.
APPROVAL: Final = "QB006"
