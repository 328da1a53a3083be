"""From a 700 number and a time to whose it was; real numbers for two persons, once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Cli

from api_tools import A, Api, B, C, Tenant
from qibai.core.ids import format_id, new_id
from qibai.core.numbering import Msisdn, Number700
from qibai.core.roles import Role
from qibai.store.keys import binding_aad

STRANGER = "+8613511112222"


@pytest.fixture
def api(database: Callable[[], str], tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path / "api", database())
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def acme(api: Api) -> Tenant:
    """A tenant under an application platform."""
    acme = api.tenant("acme", "70012345678")
    operator = api.operator("wang")
    assert api.call(operator, "POST", "/v1/admin/platforms", {"name": "east"}).status_code == 201
    placed = {"platform": "east", "tenant": "acme"}
    assert api.call(operator, "POST", "/v1/admin/platforms/tenants", placed).status_code == 200
    return acme


def traced(
    api: Api, who: Tenant, number: str, at: datetime | None = None, **more: Any
) -> list[dict[str, Any]]:
    wanted = {"number": number, "at": (at or datetime.now(UTC)).isoformat(), **more}
    answer = api.call(who, "POST", "/v1/trace", wanted)
    assert answer.status_code == 200, answer.text
    for secret in (A, B, C, STRANGER):
        assert secret[3:] not in answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def record_call(api: Api, binding: dict[str, Any], caller: str, callee: str) -> str:
    """A call record as the recorder leaves it."""
    number, id = Number700.parse(binding["x"]), new_id()
    code, binding_id = number.code.value, _row_id(api, binding)
    seal = lambda text: api.keyring.seal(text, binding_aad(code, binding_id))  # noqa: E731
    api.sql(
        """INSERT INTO call (code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at,
                             ended_at, reason)
           VALUES (%s, %s, 1, %s, %s, %s, %s, %s, 'n', now(), now(), 'answered')""",
        code, id, binding_id, number.serial, number.serial, seal(caller), seal(callee),
    )  # fmt: skip
    return format_id("c", code, id)


def _row_id(api: Api, binding: dict[str, Any]) -> int:
    ((id,),) = api.sql("SELECT id FROM binding WHERE order_id = %s", binding["order_id"])
    return int(id)


def test_a_number_leads_to_order_tenant_and_platform_also_after_the_binding(api: Api, acme: Tenant) -> None:
    auditor = api.person("zhang", Role.AUDITOR)
    one = api.bind(acme, mode="AXYB", order_id="order-7", industrial_id="88.1.2/7")
    for number in (one["x"], one["y"]):
        (found,) = traced(api, auditor, number)
        assert (found["id"], found["order_id"], found["tenant"], found["platform"]) == (
            one["id"],
            "order-7",
            "acme",
            "east",
        )
        assert (found["a"], found["b"]) == (Msisdn(A).masked, Msisdn(B).masked)
    assert api.call(acme, "DELETE", f"/v1/bindings/{one['id']}").status_code == 200
    (found,) = traced(api, auditor, one["x"])
    assert (found["status"], found["industrial_id"]) == ("released", "88.1.2/7")
    later = datetime.now(UTC) + timedelta(hours=1)
    assert traced(api, auditor, one["x"], later) == []
    assert traced(api, auditor, one["x"], datetime.now(UTC) - timedelta(hours=1)) == []
    hour = int(timedelta(hours=2).total_seconds())
    assert len(traced(api, auditor, one["x"], later, window_s=hour)) == 1


def test_of_many_on_one_number_the_party_or_the_call_tells(api: Api, acme: Tenant) -> None:
    auditor = api.person("zhang", Role.AUDITOR)
    one = api.bind(acme, mode="AXB", order_id="one")
    two = api.bind(acme, mode="AXB", order_id="two", x=one["x"], a=C, b="+8613600136000")
    assert {found["order_id"] for found in traced(api, auditor, one["x"])} == {"one", "two"}
    (found,) = traced(api, auditor, one["x"], party=C)
    assert found["id"] == two["id"]
    call = record_call(api, one, STRANGER, B)  # who was A then, before the party was changed
    assert [found["order_id"] for found in traced(api, auditor, one["x"])] == ["one", "two"]
    (found,) = traced(api, auditor, one["x"], party=STRANGER)
    assert (found["order_id"], [c["id"] for c in found["calls"]]) == ("one", [call])
    assert found["calls"][0]["caller"] == Msisdn(STRANGER).masked


def test_real_numbers_take_two_persons_and_are_shown_once(api: Api, acme: Tenant) -> None:
    auditor, wang = api.person("zhang", Role.AUDITOR), api.operator("wang")
    one = api.bind(acme, mode="AXYB", order_id="order-7")
    wanted = {"id": one["id"], "why": "case 118"}
    refused = api.call(auditor, "POST", "/v1/trace/reveal", wanted)
    assert (refused.status_code, refused.json()["code"]) == (403, "second_person_required")
    (asked,) = api.call(wang, "GET", "/v1/admin/requests").json()
    assert (asked["action"], asked["params"], asked["reason"]) == (
        "trace.reveal",
        {"id": one["id"]},
        "case 118",
    )
    approve = f"/v1/admin/requests/{asked['id']}/approve"
    assert api.call(auditor, "POST", approve).status_code == 403
    assert api.call(wang, "POST", approve).status_code == 200
    other = api.call(wang, "POST", "/v1/trace/reveal", wanted)  # what is approved is approved for who asked
    assert other.json()["code"] == "second_person_required"
    shown = api.call(auditor, "POST", "/v1/trace/reveal", wanted)
    assert shown.status_code == 200, shown.text
    assert (shown.json()["a"], shown.json()["b"]) == (A, B)
    again = api.call(auditor, "POST", "/v1/trace/reveal", wanted)
    assert again.json()["code"] == "second_person_required"

    acts = api.sql("SELECT actor, subject, details FROM audit WHERE action = 'trace.reveal'")
    ((actor, subject, details),) = acts
    assert (actor, subject) == ("zhang", f"binding:{one['id']}")
    assert '"second_person":"wang"' in details and "case 118" in details
    for (text,) in api.sql("SELECT concat(subject, details) FROM audit"):
        assert A[3:] not in text and B[3:] not in text


def test_a_calls_parties_are_revealed_as_they_were(api: Api, acme: Tenant) -> None:
    auditor, wang = api.person("zhang", Role.AUDITOR), api.operator("wang")
    call = record_call(api, api.bind(acme, mode="AXB", order_id="one"), STRANGER, B)
    wanted = {"id": call, "why": "case 119"}
    assert api.call(auditor, "POST", "/v1/trace/reveal", wanted).status_code == 403
    (asked,) = api.call(wang, "GET", "/v1/admin/requests").json()
    assert api.call(wang, "POST", f"/v1/admin/requests/{asked['id']}/approve").status_code == 200
    shown = api.call(auditor, "POST", "/v1/trace/reveal", wanted).json()
    assert (shown["caller"], shown["callee"]) == (STRANGER, B)


def test_who_may_trace_and_what_is_there(api: Api, acme: Tenant) -> None:
    one = api.bind(acme, mode="AXB", order_id="one")
    wanted = {"number": one["x"], "at": datetime.now(UTC).isoformat()}
    for who in (acme, api.platform_key("east"), api.tenant("net", kind=Role.NETWORK)):
        for path, body in (("trace", wanted), ("trace/reveal", {"id": one["id"], "why": "mine"})):
            assert api.call(who, "POST", f"/v1/{path}", body).status_code == 403
    auditor = api.person("zhang", Role.AUDITOR)
    for kind, code in (("b", "binding_not_found"), ("c", "call_not_found")):
        id = f"{kind}12345678-0000000000000"
        answer = api.call(auditor, "POST", "/v1/trace/reveal", {"id": id, "why": "case"})
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert api.sql("SELECT count(*) FROM dual_request") == [(0,)]


def test_others_than_the_tenant_read_it_masked_and_no_further_than_they_reach(
    api: Api, acme: Tenant, tmp_path: Path
) -> None:
    one = api.bind(acme, mode="GXB", members=[A, C], a=None, order_id="one")
    call = record_call(api, one, A, B)
    east, auditor, wang = api.platform_key("east"), api.person("zhang", Role.AUDITOR), api.operator("wang")
    masked = [number[:6] + "****" + number[-4:] for number in (A, C, B)]
    for who in (east, auditor, wang):
        for path in ("bindings", f"bindings/{one['id']}", "calls", f"calls/{call}"):
            assert api.call(who, "GET", f"/v1/{path}").json()["errors"][0]["field"] == "tenant"
            answer = api.call(who, "GET", f"/v1/{path}?tenant=acme")
            assert answer.status_code == 200
            text = answer.text or ""
            assert not any(number[3:] in text for number in (A, B, C))
        found = api.call(who, "GET", "/v1/bindings?tenant=acme").json()["items"][0]
        assert [*found["members"], found["b"]] == masked
    assert api.call(acme, "GET", f"/v1/calls/{call}?tenant=acme").json()["caller"] == A
    assert api.call(acme, "GET", "/v1/bindings?tenant=other").status_code == 403
    api.call(wang, "POST", "/v1/admin/platforms", {"name": "west"})
    west = api.platform_key("west")
    assert api.call(west, "GET", "/v1/bindings?tenant=acme").json()["code"] == "tenant_not_found"
    api.sql("UPDATE call SET ended_at = NULL")
    assert api.call(auditor, "POST", f"/v1/calls/{call}/terminate?tenant=acme").status_code == 403
    assert api.call(east, "POST", f"/v1/calls/{call}/terminate?tenant=acme").status_code == 403
    cli = Cli(tmp_path / "home", QIBAI_API_URL=api.url)
    assert call in cli.run("calls", "--tenant", "acme", QIBAI_API_KEY=east.key.bearer).stdout
    shown = cli.run("show", one["x"], "--tenant", "acme", "--reveal", QIBAI_API_KEY=auditor.key.bearer).stdout
    assert masked[0] in shown
    cli.run("terminate", call, "--tenant", "acme", QIBAI_API_KEY=wang.key.bearer)
    assert api.sql("SELECT actor FROM audit WHERE action = 'call.terminate'") == [("wang",)]
    assert api.call(wang, "DELETE", f"/v1/bindings/{one['id']}?tenant=acme").status_code == 403


def test_the_same_by_commands(api: Api, acme: Tenant, tmp_path: Path) -> None:
    auditor = api.person("zhang", Role.AUDITOR)
    wang = api.operator("wang")
    one = api.bind(acme, mode="AXYB", order_id="order-7")
    cli = Cli(tmp_path / "home", QIBAI_API_URL=api.url)
    key = {"QIBAI_API_KEY": auditor.key.bearer}
    shown = cli.run("trace", one["x"], "--at", datetime.now(UTC).isoformat(), **key).stdout
    assert "east" in shown and "order-7" in shown and Msisdn(A).masked in shown and A[3:] not in shown
    assert "with its zone" in cli.run("trace", one["x"], "--at", "2026-01-01", status=1, **key).stderr
    first = cli.run("reveal", one["id"], "--why", "case 118", status=1, **key)
    assert "second_person_required: another operator has to approve" in first.stderr
    (asked,) = api.call(wang, "GET", "/v1/admin/requests").json()
    assert api.call(wang, "POST", f"/v1/admin/requests/{asked['id']}/approve").status_code == 200
    assert A in cli.run("reveal", one["id"], "--why", "case 118", **key).stdout
    cli.run("reveal", one["id"], "--why", "case 118", status=1, **key)
