"""Who may do what: one table of roles and actions, which the API and the command line both ask.

An action's value is also its name in the audit trail. What is in no row may be done by nobody.
"""

from enum import StrEnum
from typing import Final

from qibai.core.errors import Forbidden


class Role(StrEnum):
    """What an API key makes of its holder. The command line on the machine itself acts as OPERATOR."""

    OPERATOR = "operator"  #: runs the platform
    PLATFORM = "platform"  #: an application platform; sees the tenants under it
    TENANT = "tenant"  #: a service user; sees its own, and the numbers that it gave
    AUDITOR = "auditor"  #: auditor or regulator; reads figures, records and the audit trail, asks for traces
    NETWORK = "network"  #: a carrier; asks where a call goes

    @property
    def of_tenant(self) -> bool:
        """A key of this role belongs to a tenant."""
        return self in (Role.TENANT, Role.NETWORK)

    @property
    def of_person(self) -> bool:
        """A key of this role is one person's, who is named with it."""
        return self in (Role.OPERATOR, Role.AUDITOR)


class Action(StrEnum):
    """What can be done. Acts (not mere reading) go into the audit trail under this name."""

    BIND = "binding.bind"
    BINDING_READ = "binding.read"
    BINDING_CHANGE = "binding.change"
    BINDING_RELEASE = "binding.release"
    CALL_READ = "call.read"
    CALL_TERMINATE = "call.terminate"
    TRANSLATE = "translate"
    MESSAGE_SEND = "message.send"
    MESSAGE_READ = "message.read"
    MESSAGE_POLICY = "message.policy"  #: what is done with the text of a tenant's messages
    MESSAGE_TAKE_OVER = "message.take_over"  #: of a node that is silent

    TENANT_READ = "tenant.read"
    TENANT_ADD = "tenant.add"
    TENANT_DISABLE = "tenant.disable"
    TENANT_ENABLE = "tenant.enable"
    KEY_READ = "key.read"
    KEY_ADD = "key.add"
    KEY_REVOKE = "key.revoke"
    CODE_READ = "code.read"
    CODE_ADD = "code.add"

    METRICS_READ = "metrics.read"  #: figures of the whole platform
    POOL_READ = "pool.read"  #: how many numbers are free
    STATS_READ = "stats.read"  #: how calls and messages went
    RESOURCE_READ = "resource.read"  #: carriers, platforms, papers
    RESOURCE_CHANGE = "resource.change"
    PAPER_REVOKE = "paper.revoke"  #: an approval or a certificate

    SCHEMA_MIGRATE = "schema.migrate"
    KEYS_ROTATE = "keys.rotate"
    BACKUP_MAKE = "backup.make"
    BACKUP_RESTORE = "backup.restore"

    AUDIT_READ = "audit.read"
    TRACE = "trace"
    TRACE_REVEAL = "trace.reveal"  #: with real numbers
    DUAL_READ = "dual.read"
    DUAL_ASK = "dual.ask"
    DUAL_APPROVE = "dual.approve"
    DUAL_REJECT = "dual.reject"
    DUAL_RULE = "dual.rule"  #: how many persons it takes


_O, _P, _T, _A, _N = Role.OPERATOR, Role.PLATFORM, Role.TENANT, Role.AUDITOR, Role.NETWORK

#: The whole of it. Reading reaches only as far as the role: a platform its tenants, a tenant itself.
PERMITTED: Final[dict[Action, frozenset[Role]]] = {
    Action.BIND: frozenset({_T}),
    Action.BINDING_READ: frozenset({_O, _P, _T, _A}),
    Action.BINDING_CHANGE: frozenset({_T}),
    Action.BINDING_RELEASE: frozenset({_T}),
    Action.CALL_READ: frozenset({_O, _P, _T, _A}),
    Action.CALL_TERMINATE: frozenset({_O, _T}),
    Action.TRANSLATE: frozenset({_N}),
    Action.MESSAGE_SEND: frozenset({_T}),
    Action.MESSAGE_READ: frozenset({_O, _P, _T, _A}),
    Action.MESSAGE_POLICY: frozenset({_O, _T}),
    Action.MESSAGE_TAKE_OVER: frozenset({_O}),
    Action.TENANT_READ: frozenset({_O, _P, _A}),
    Action.TENANT_ADD: frozenset({_O}),
    Action.TENANT_DISABLE: frozenset({_O}),
    Action.TENANT_ENABLE: frozenset({_O}),
    Action.KEY_READ: frozenset({_O}),
    Action.KEY_ADD: frozenset({_O}),
    Action.KEY_REVOKE: frozenset({_O}),
    Action.CODE_READ: frozenset({_O, _P, _T, _A}),
    Action.CODE_ADD: frozenset({_O}),
    Action.METRICS_READ: frozenset({_O, _A}),
    Action.POOL_READ: frozenset({_O, _P, _T, _A}),
    Action.STATS_READ: frozenset({_O, _P, _T, _A}),
    Action.RESOURCE_READ: frozenset({_O, _P, _A}),
    Action.RESOURCE_CHANGE: frozenset({_O}),
    Action.PAPER_REVOKE: frozenset({_O}),
    Action.SCHEMA_MIGRATE: frozenset({_O}),
    Action.KEYS_ROTATE: frozenset({_O}),
    Action.BACKUP_MAKE: frozenset({_O}),
    Action.BACKUP_RESTORE: frozenset({_O}),
    Action.AUDIT_READ: frozenset({_O, _A}),
    Action.TRACE: frozenset({_O, _A}),
    Action.TRACE_REVEAL: frozenset({_O, _A}),
    Action.DUAL_READ: frozenset({_O, _A}),
    Action.DUAL_ASK: frozenset({_O, _A}),
    Action.DUAL_APPROVE: frozenset({_O}),
    Action.DUAL_REJECT: frozenset({_O, _A}),
    Action.DUAL_RULE: frozenset({_O}),
}

#: Those of DUAL that take one person until there are two operators: to make the key of a person, a tenant or
#: a carrier, and to let one person be enough.
DUAL_ONCE_TWO: Final = frozenset({Action.KEY_ADD, Action.DUAL_RULE})
#: Acts that one person asks for and another approves.
DUAL: Final = frozenset({Action.PAPER_REVOKE, Action.KEYS_ROTATE, Action.TRACE_REVEAL}) | DUAL_ONCE_TWO


def allowed(role: Role, action: Action) -> bool:
    """Whether ``role`` may do ``action`` at all; how far it reaches is asked elsewhere."""
    return role in PERMITTED.get(action, frozenset())


def require(role: Role, action: Action) -> None:
    """Raise Forbidden unless ``role`` may do ``action``."""
    if not allowed(role, action):
        raise Forbidden(f"a key of the role {role} may not do this ({action})")


def sees_real_numbers(role: Role) -> bool:
    """Whether reading shows real numbers whole: only to the tenant that gave them. Others get them masked."""
    return role is Role.TENANT
