"""The table of roles and actions, whole: a change of it has to be made here as well."""

import pytest

from qibai.core.errors import Forbidden
from qibai.core.roles import DUAL, PERMITTED, Action, Role, allowed, require, sees_real_numbers

ORDER = (Role.OPERATOR, Role.PLATFORM, Role.TENANT, Role.AUDITOR, Role.NETWORK)
#: A letter for each role in this order that may: Operator, Platform, Tenant, Auditor, Network.
TABLE = {
    "binding.bind": "--T--",
    "binding.read": "OPTA-",
    "binding.change": "--T--",
    "binding.release": "--T--",
    "call.read": "OPTA-",
    "call.terminate": "O-T--",
    "translate": "----N",
    "message.send": "--T--",
    "message.read": "OPTA-",
    "message.policy": "O-T--",
    "tenant.read": "OP-A-",
    "tenant.add": "O----",
    "tenant.disable": "O----",
    "tenant.enable": "O----",
    "key.read": "O----",
    "key.add": "O----",
    "key.revoke": "O----",
    "code.read": "OPTA-",
    "code.add": "O----",
    "metrics.read": "O--A-",
    "pool.read": "OPTA-",
    "stats.read": "OPTA-",
    "resource.read": "OP-A-",
    "resource.change": "O----",
    "paper.revoke": "O----",
    "schema.migrate": "O----",
    "keys.rotate": "O----",
    "message.take_over": "O----",
    "backup.make": "O----",
    "backup.restore": "O----",
    "audit.read": "O--A-",
    "trace": "O--A-",
    "trace.reveal": "O--A-",
    "dual.read": "O--A-",
    "dual.ask": "O--A-",
    "dual.approve": "O----",
    "dual.reject": "O--A-",
    "dual.rule": "O----",
}


@pytest.mark.parametrize("action", Action)
def test_every_action_is_for_just_these_roles(action: Action) -> None:
    may = "".join(role.name[0] if allowed(role, action) else "-" for role in ORDER)
    assert may == TABLE[action.value]


def test_the_table_is_whole() -> None:
    assert set(PERMITTED) == set(Action)
    assert set(TABLE) == {action.value for action in Action}
    assert set(ORDER) == set(Role)


def test_what_is_not_permitted_is_refused_by_name() -> None:
    require(Role.TENANT, Action.BIND)
    with pytest.raises(Forbidden, match=r"auditor .*binding\.bind"):
        require(Role.AUDITOR, Action.BIND)


def test_nobody_but_the_tenant_is_shown_real_numbers_by_reading() -> None:
    assert [role for role in Role if sees_real_numbers(role)] == [Role.TENANT]


def test_what_two_persons_answer_for_is_no_tenants_or_networks_to_do() -> None:
    for action in DUAL:
        assert not allowed(Role.TENANT, action)
        assert not allowed(Role.PLATFORM, action)
        assert not allowed(Role.NETWORK, action)
