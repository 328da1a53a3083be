"""The servers of a connection string that names several, each by itself."""

from typing import Final, NamedTuple

from qibai.cli.doctor.finding import Finding, fail, ok, warn
from qibai.store.hosts import Hosts, kind_of

_PATIENCE_S: Final = 2
_WRITES: Final = ("read-write", "primary")


class _Server(NamedTuple):
    """``kind`` None: it does not answer."""

    name: str
    kind: str | None


def check_hosts(name: str, dsn: str, *, writes: bool) -> list[Finding]:
    """Return what each of several hosts is; nothing for a single host. ``writes``: bindings go there."""
    hosts = Hosts(dsn)
    if not hosts.several:
        return []
    found = [_Server(place, kind_of(text, _PATIENCE_S)) for place, text in hosts.each()]
    says = ", ".join(f"{one.name} {one.kind or 'does not answer'}" for one in found)
    primaries = [one for one in found if one.kind == "primary"]
    if writes and len(primaries) > 1:
        mend = "stop all but the right one at once: two servers take writes; see the cluster manager"
        return [fail(name, says, mend)]
    if writes and not primaries:
        return [fail(name, says, "promote a standby, or start the primary; nothing can be bound or recorded")]
    if writes and hosts.wanted not in _WRITES:
        return [
            warn(name, says, "add target_session_attrs=read-write to store.dsn: a standby takes no writes")
        ]
    if not writes and all(one.kind is None for one in found):
        return [fail(name, says, "check store.read_dsn and that these servers run")]
    if any(one.kind is None for one in found):
        return [
            warn(name, says, "start the server that does not answer, or take it out of the configuration")
        ]
    if any(one.kind == "read-only primary" for one in found):
        return [warn(name, says, "see default_transaction_read_only of the server that takes no writes")]
    if hosts.wanted == "prefer-standby" and len(primaries) == len(found):
        return [warn(name, says, "start a standby: all routing reads go to the primary now")]
    return [ok(name, says)]
