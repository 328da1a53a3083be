"""``/v1/admin``: an operator sets an enterprise up over HTTP, its tenant binds, refusals name their rule."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api_tools import A, Api, B, Tenant, one_person
from qibai.config import PilotConfig
from qibai.core.roles import Role

TODAY = date.today()  # noqa: DTZ011  # the API looks at the real calendar here
CODES = ["70012345678-70012345680"]


@pytest.fixture
def api(database: Callable[[], str], tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path / "api", database())
    pilot = PilotConfig(notice=str(TODAY - timedelta(days=300)), grace_s=0)
    made.config = msgspec.structs.replace(made.config, pilot=pilot)
    one_person(made)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def operator(api: Api) -> Tenant:
    return api.operator()


def post(api: Api, who: Tenant, path: str, status: int = 200, **body: Any) -> Any:
    answer = api.call(who, "POST", f"/v1/admin/{path}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


def get(api: Api, who: Tenant, path: str) -> Any:
    answer = api.call(who, "GET", f"/v1/admin/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def set_up(api: Api, operator: Tenant) -> Tenant:
    """The platform east with its papers, its tenant acme, and three codes open in Guangdong."""
    acme = api.tenant("acme")
    post(api, operator, "platforms", 201, name="east")
    post(api, operator, "platforms/tenants", platform="east", tenant="acme")
    days = {"first_day": str(TODAY - timedelta(days=9)), "last_day": str(TODAY + timedelta(days=9))}
    for kind, number in (("approvals", "P-1"), ("certificates", "C-1")):
        paper = {"platform": "east", "number": number, "provinces": ["Guangdong", "31"], **days}
        assert post(api, operator, kind, 201, **paper)["provinces"] == ["31", "44"]
    assert post(api, operator, "codes/assign", codes=CODES, certificate="C-1") == {"codes": 3}
    post(api, operator, "codes/give", codes=CODES, tenant="acme")
    post(api, operator, "codes/open", codes=CODES, provinces=["44"])
    return acme


def refusal(api: Api, tenant: Tenant, **more: Any) -> dict[str, Any]:
    bind = {"mode": "AXB", "a": A, "b": B, "order_id": "o", **more}
    answer = api.call(tenant, "POST", "/v1/bindings", bind)
    assert answer.status_code in (403, 409), answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_rules_refuse_with_their_id_and_document_from_the_next_bind_on(api: Api, operator: Tenant) -> None:
    acme = set_up(api, operator)
    first = api.bind(acme, order_id="one")
    network = api.tenant("carrier", kind=Role.NETWORK)
    called = {"called": first["x"], "caller": A}
    assert api.call(network, "POST", "/v1/translations", called).json()["decision"] == "connect"
    assert refusal(api, acme, province="31")["code"] == "no_code_for_province"
    post(api, operator, "codes/set-aside", carrier=1, why="not carried")
    problem = refusal(api, acme)
    assert (problem["code"], problem["rule"]) == ("policy_refused", "code_locked")
    post(api, operator, "codes/restore", carrier=1)
    api.bind(acme, order_id="two")

    post(api, operator, "locks", 201, number=first["x"], why="a complaint", stops_calls=True)
    answer = api.call(network, "POST", "/v1/translations", called).json()
    assert (answer["reason"], answer["rule"], answer["sip_status"]) == ("policy", "number_locked", 403)
    post(api, operator, "locks/release", number=first["x"])
    assert api.call(network, "POST", "/v1/translations", called).json()["decision"] == "connect"

    post(api, operator, "quotas", tenant="acme", most=2)
    assert refusal(api, acme)["code"] == "quota_exceeded"
    post(api, operator, "quotas/drop", tenant="acme")

    later = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    revoked = post(api, operator, "approvals/revoke", number="P-1", why="fraud", at=later)
    assert revoked["revoked_why"] == "fraud"
    problem = refusal(api, acme)
    assert (problem["status"], problem["rule"]) == (403, "approval_revoked")
    assert problem["document"] == "工信部信管函〔2025〕130号"
    items = [{"mode": "AXB", "a": A, "b": B, "order_id": "b"}]
    bulk = api.call(acme, "POST", "/v1/bindings/bulk", {"items": items})
    assert bulk.json()["results"][0]["problem"]["rule"] == "approval_revoked"
    answer = api.call(network, "POST", "/v1/translations", called).json()
    assert answer["rule"] == "approval_revoked"
    extend = api.call(acme, "PATCH", f"/v1/bindings/{first['id']}", {"ttl": 200_000})
    assert (extend.status_code, extend.json()["rule"]) == (403, "approval_revoked")
    assert api.call(acme, "DELETE", f"/v1/bindings/{first['id']}").status_code == 200


def test_lists_say_what_was_done_and_the_trail_who_did_it(api: Api, operator: Tenant) -> None:
    set_up(api, operator)
    assert api.call(operator, "PUT", "/v1/admin/carriers/1", {"name": "Telecom"}).json()["name"] == "Telecom"
    assert get(api, operator, "carriers") == [{"digit": 1, "name": "Telecom", "codes": 3, "set_aside": 0}]
    application = post(api, operator, "applications", 201, platform="east", note="more")
    path = f"applications/{application['id']}/steps"
    post(api, operator, path, to="submitted")
    refused = post(api, operator, path, 409, to="granted")
    assert refused["code"] == "step_refused"
    post(api, operator, path, to="refused", reason="incomplete")
    assert [step["state"] for step in get(api, operator, path)] == ["drafted", "submitted", "refused"]
    (east,) = get(api, operator, "platforms")
    assert (east["approval"], east["codes"], east["tenants"]) == ("P-1", 3, ["acme"])
    page = get(api, operator, "codes?limit=2")
    assert [code["state"] for code in page["items"]] == ["in_use", "in_use"]
    rest = get(api, operator, f"codes?cursor={page['next_cursor']}")
    assert [code["code"] for code in rest["items"]] == ["70012345680"]
    done = api.sql("SELECT actor, action, subject FROM audit ORDER BY seq")
    assert ("wang", "resource.change", "certificate:C-1") in done


def test_the_steps_of_an_application_are_in_the_order_of_time(api: Api, operator: Tenant) -> None:
    post(api, operator, "platforms", 201, name="late")
    drafted, earlier = "2026-11-20T00:00:00Z", "2026-11-19T23:59:59Z"
    application = post(api, operator, "applications", 201, platform="late", at=drafted)
    path = f"applications/{application['id']}/steps"
    refused = post(api, operator, path, 409, to="submitted", at=earlier)
    assert (refused["code"], drafted in refused["detail"]) == ("step_refused", True)
    post(api, operator, path, to="submitted", at=drafted)  # on the same day, as papers have it
    to_come = f"{datetime.now(UTC) + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
    for where, said in ((path, {"to": "accepted"}), ("applications", {"platform": "late"})):
        problem = post(api, operator, where, 400, at=to_come, **said)
        assert problem["errors"][0]["field"] == "at"


def test_only_operators_change_and_a_platform_sees_its_own(api: Api, operator: Tenant) -> None:
    acme = set_up(api, operator)
    post(api, operator, "platforms", 201, name="west")
    for path, body in (("platforms", {"name": "mine"}), ("codes/drain", {"codes": CODES})):
        answer = api.call(acme, "POST", f"/v1/admin/{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    west = api.platform_key("west")
    assert [one["name"] for one in get(api, west, "platforms")] == ["west"]
    assert get(api, west, "codes")["items"] == get(api, west, "approvals") == []
    assert api.call(west, "GET", "/v1/admin/locks").status_code == 403
    assert api.call(west, "POST", "/v1/admin/platforms", {"name": "more"}).status_code == 403


def test_what_cannot_be_is_refused_in_one_sentence(api: Api, operator: Tenant) -> None:
    set_up(api, operator)
    post(api, operator, "platforms", 409, name="east")
    west = api.tenant("other")
    assert west.name == "other"
    lent = {"codes": CODES, "tenant": "other"}
    gone = {"codes": ["70099999999"], "provinces": ["44"]}
    backwards = {"codes": ["70012345680-70012345678"], "provinces": ["44"]}
    for path, status, code, body in (
        ("codes/give", 409, "sub_lease_refused", lent),
        ("codes/give", 404, "tenant_not_found", lent | {"tenant": "nobody"}),
        ("codes/open", 404, "resource_not_found", gone),
        ("codes/open", 422, "code_malformed", backwards),
        ("approvals/renew", 400, "request_invalid", {"number": "P-1", "last_day": "9999-12-31"}),
        ("codes/set-aside", 400, "request_invalid", {"why": "neither codes nor a carrier"}),
    ):
        assert post(api, operator, path, status, **body)["code"] == code
