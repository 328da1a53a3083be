"""``/v1/message-policy`` and ``qibai tenant messages``: whose policy, what is refused, what is audited."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api_tools import Api
from qibai.core.roles import Role

DEFAULT = {
    "numbers": "mask",
    "hook": "forward",
    "url": None,
    "timeout_ms": 2000,
    "on_timeout": "block",
}
ASKING = {"numbers": "block", "hook": "ask", "url": "https://shop.example/check", "timeout_ms": 500}


@pytest.fixture
def api(database: Callable[[], str], tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path / "api", database())
    try:
        yield made.start()
    finally:
        made.stop()


def test_each_tenant_sets_its_own(api: Api) -> None:
    shop, other = api.tenant("shop"), api.tenant("other")
    assert api.call(shop, "GET", "/v1/message-policy").json() == DEFAULT
    answer = api.call(shop, "PUT", "/v1/message-policy", ASKING)
    assert answer.status_code == 200, answer.text
    secret = answer.json().pop("secret")
    assert answer.json() == {**DEFAULT, **ASKING, "secret": secret}
    assert api.call(shop, "GET", "/v1/message-policy").json() == {**DEFAULT, **ASKING}
    assert api.call(other, "GET", "/v1/message-policy").json() == DEFAULT
    assert api.call(shop, "PUT", "/v1/message-policy", {"new_secret": True}).json()["secret"] != secret


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"hook": "ask"}, "url"),
        ({"hook": "ask", "url": "http://shop.example/"}, "url"),
        ({"hook": "perhaps"}, "hook"),
        ({"numbers": 1}, "numbers"),
        ({"timeout_ms": 1}, "timeout_ms"),
        ({"whatever": True}, "whatever"),
    ],
)
def test_what_cannot_be_followed_changes_nothing(api: Api, body: dict[str, object], field: str) -> None:
    shop = api.tenant("shop")
    answer = api.call(shop, "PUT", "/v1/message-policy", body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "request_invalid"
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert api.call(shop, "GET", "/v1/message-policy").json() == DEFAULT


def test_a_network_may_not(api: Api) -> None:
    network = api.tenant("carrier", kind=Role.NETWORK)
    for method, body in (("GET", None), ("PUT", {})):
        assert api.call(network, method, "/v1/message-policy", body).json()["code"] == "forbidden"


def test_a_change_is_in_the_audit_trail(api: Api) -> None:
    shop, auditor = api.tenant("shop"), api.operator()
    api.call(shop, "PUT", "/v1/message-policy", ASKING)
    trail = api.call(auditor, "GET", "/v1/admin/audit?action=message.policy").json()["items"]
    assert [(one["subject"], json.loads(one["details"])["hook"]) for one in trail] == [("tenant:shop", "ask")]
    assert "shop.example" not in str(trail)
