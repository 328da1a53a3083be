"""The HTTP API's resources, asked of a real server on a real database."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from api_tools import BIND, A, Api, B, C, Tenant
from metric_tools import check
from qibai.api.problems import STATUS
from qibai.core.errors import QibaiError
from qibai.core.roles import Role

CODE = "70012345678"


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database(), max_bulk=500).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", CODE, codes_=3)


@pytest.fixture(scope="module")
def other(api: Api) -> Tenant:
    return api.tenant("other", "70087654321")


@pytest.fixture(scope="module")
def network(api: Api) -> Tenant:
    return api.tenant("network", kind=Role.NETWORK)


def test_a_binding_is_made_read_and_listed(api: Api, tenant: Tenant) -> None:
    made = api.bind(tenant, order_id="read-me", ttl=600)
    assert made["status"] == "active" and made["scene"] == "food" and made["members"] == []
    assert (made["a"], made["b"]) == (A, B)
    assert made["x"].startswith("70012345") and made["y"] != made["x"]
    got = api.call(tenant, "GET", f"/v1/bindings/{made['id']}")
    assert got.status_code == 200 and got.json() == made
    page = api.call(tenant, "GET", "/v1/bindings?order_id=read-me").json()
    assert page == {"items": [made], "next_cursor": None, "unreadable": []}
    by_number = api.call(tenant, "GET", f"/v1/bindings?number={made['y']}&status=active&mode=AXYB").json()
    assert made in by_number["items"]


def test_pages_follow_each_other(api: Api, tenant: Tenant) -> None:
    made = [api.bind(tenant, order_id="pages")["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        query = f"&cursor={cursor}" if cursor else ""
        page = api.call(tenant, "GET", f"/v1/bindings?order_id=pages&limit=2{query}").json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(made)


def test_all_four_modes(api: Api, tenant: Tenant) -> None:
    for mode, group, has_y in (
        ("AXB", False, False),
        ("AXYB", False, True),
        ("GXB", True, False),
        ("GXYB", True, True),
    ):
        parties: dict[str, Any] = {"a": None, "members": [A, C]} if group else {"a": A}
        made = api.bind(tenant, mode=mode, **parties)
        assert (made["y"] is not None) == has_y
        assert made["members"] == ([A, C] if group else [])


def test_a_binding_is_extended_changed_and_released(api: Api, tenant: Tenant, network: Tenant) -> None:
    made = api.bind(tenant)
    path = f"/v1/bindings/{made['id']}"
    beijing = ZoneInfo("Asia/Shanghai")
    later = datetime.now(beijing).replace(microsecond=0) + timedelta(days=29)
    longer = api.call(tenant, "PATCH", path, {"expires_at": later.isoformat()})
    assert longer.status_code == 200
    assert datetime.fromisoformat(longer.json()["expires_at"]) == later
    changed = api.call(tenant, "PATCH", path, {"a": C}).json()
    assert (changed["a"], changed["x"]) == (C, made["x"])
    went = api.call(network, "POST", "/v1/translations", {"called": made["x"], "caller": C}).json()
    assert (went["decision"], went["callee"], went["shown"]) == ("connect", B, made["y"])
    released = api.call(tenant, "DELETE", path).json()
    assert released["status"] == "released"
    assert api.call(tenant, "DELETE", path).json() == released
    assert api.call(tenant, "PATCH", path, {"ttl": 60}).json()["code"] == "binding_ended"
    late = api.call(network, "POST", "/v1/translations", {"called": made["x"], "caller": C}).json()
    assert (late["decision"], late["sip_status"], late["q850"]) == ("refuse", 410, 22)


def test_members_come_and_go(api: Api, tenant: Tenant) -> None:
    made = api.bind(tenant, mode="GXB", a=None, members=[A])
    path = f"/v1/bindings/{made['id']}/members"
    assert api.call(tenant, "POST", path, {"members": [C]}).json()["members"] == [A, C]
    assert api.call(tenant, "DELETE", path, {"members": [A]}).json()["members"] == [C]
    assert api.call(tenant, "DELETE", path, {"members": [C]}).json()["code"] == "group_size"


@pytest.mark.parametrize(
    ("called", "caller", "reason", "status"),
    [
        ("700999999990000", A, "not_bound", 404),
        ("70012", A, "number_malformed", 404),
        ("700999999990000", "anonymous", "caller_unknown", 403),
    ],
)
def test_translations_refuse_as_the_network_would_hear_it(  # noqa: PLR0917
    api: Api, network: Tenant, called: str, caller: str, reason: str, status: int
) -> None:
    answer = api.call(network, "POST", "/v1/translations", {"called": called, "caller": caller}).json()
    assert (answer["decision"], answer["reason"], answer["sip_status"]) == ("refuse", reason, status)


def test_a_stranger_is_not_a_party(api: Api, tenant: Tenant, network: Tenant) -> None:
    made = api.bind(tenant)
    body = {"called": made["x"], "caller": "+8615012345678"}
    answer = api.call(network, "POST", "/v1/translations", body).json()
    assert (answer["reason"], answer["sip_status"]) == ("not_a_party", 403)


def test_each_item_of_a_bulk_succeeds_or_fails_by_itself(api: Api, tenant: Tenant) -> None:
    items = [BIND, BIND | {"b": A}, {"mode": "AXB"}, 7, BIND | {"a": "+12025550123"}, BIND]
    results = api.call(tenant, "POST", "/v1/bindings/bulk", {"items": items}).json()["results"]
    assert [item["status"] for item in results] == [201, 422, 400, 400, 422, 201]
    codes = [item["problem"] and item["problem"]["code"] for item in results]
    assert codes == [None, "party_repeated", "request_invalid", "request_invalid", "number_foreign", None]
    ids = [results[0]["binding"]["id"], "nonsense", results[5]["binding"]["id"]]
    ended = api.call(tenant, "POST", "/v1/bindings/bulk-release", {"ids": ids}).json()["results"]
    assert [item["status"] for item in ended] == [200, 404, 200]


def test_a_bulk_has_a_largest_size(api: Api, tenant: Tenant) -> None:
    answer = api.call(tenant, "POST", "/v1/bindings/bulk-release", {"ids": ["x"] * 501})
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
    assert api.call(tenant, "POST", "/v1/bindings", b"x" * 70_000).status_code == 413


def test_nobody_sees_another_tenants_things(api: Api, tenant: Tenant, other: Tenant) -> None:
    made = api.bind(tenant, order_id="mine")
    path = f"/v1/bindings/{made['id']}"
    asked = [
        api.call(other, "GET", path),
        api.call(other, "PATCH", path, {"ttl": 60}),
        api.call(other, "DELETE", path),
        api.call(other, "POST", path + "/members", {"members": [C]}),
    ]
    assert [answer.status_code for answer in asked] == [404] * 4
    assert {answer.json()["code"] for answer in asked} == {"binding_not_found"}
    assert api.call(other, "GET", "/v1/bindings?order_id=mine").json()["items"] == []
    bulk = api.call(other, "POST", "/v1/bindings/bulk-release", {"ids": [made["id"]]}).json()
    assert bulk["results"][0]["status"] == 404
    assert api.call(tenant, "GET", path).json()["status"] == "active"
    codes = api.call(other, "GET", "/v1/codes").json()["items"]
    assert [item["code"] for item in codes] == ["70087654321"]
    taken = api.call(other, "POST", "/v1/bindings", BIND | {"x": f"{CODE}0001"}).json()
    assert taken["code"] == "number_not_owned"


def test_keys_do_only_what_they_are_for(api: Api, tenant: Tenant, network: Tenant) -> None:
    body = {"called": "700123456780000", "caller": A}
    for who, method, path, sent in (
        (tenant, "POST", "/v1/translations", body),
        (network, "POST", "/v1/bindings", BIND),
        (network, "GET", "/v1/bindings", None),
        (network, "GET", "/v1/calls", None),
    ):
        answer = api.call(who, method, path, sent)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"a": None}, 422, "mode_mismatch", "a"),
        ({"a": "+8613800138001x"}, 422, "number_malformed", "a"),
        ({"a": "1380013"}, 422, "number_malformed", "a"),
        ({"a": "+442071838750"}, 422, "number_foreign", "a"),
        ({"a": "700123456781234"}, 422, "number_700_as_party", "a"),
        ({"a": "01012345678"}, 422, "number_not_mobile", "a"),
        ({"a": "１３８００１３８０００"}, 422, "number_foreign_digits", "a"),
        ({"b": A}, 422, "party_repeated", "b"),
        ({"members": [C]}, 422, "mode_mismatch", "members"),
        ({"mode": "GXB", "a": None, "members": []}, 422, "group_size", "members"),
        ({"mode": "AB"}, 400, "request_invalid", "mode"),
        ({"a": 13800138001}, 400, "request_invalid", "a"),
        ({"order_id": ""}, 400, "request_invalid", "order_id"),
        ({"order_id": "a\u0000b"}, 400, "request_invalid", "order_id"),
        ({"more": 1}, 400, "request_invalid", "more"),
        ({"ttl": 0}, 400, "request_invalid", "ttl"),
        ({"ttl": 2_000_000_000}, 422, "lifetime_invalid", "ttl"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 422, "lifetime_invalid", "expires_at"),
        ({"expires_at": "2130-01-01T00:00:00"}, 400, "request_invalid", "expires_at"),
        ({"ttl": 60, "expires_at": "2130-01-01T00:00:00Z"}, 422, "lifetime_invalid", "expires_at"),
        ({"province": "Tibet"}, 422, "province_unknown", "province"),
        ({"province": "44"}, 409, "no_code_for_province", None),
        ({"x": "700"}, 422, "number_700_malformed", None),
        ({"max_call_s": 999_999}, 422, "lifetime_invalid", "max_call_s"),
    ],
)
def test_what_is_wrong_is_named_and_never_echoed(  # noqa: PLR0917
    api: Api, tenant: Tenant, change: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    body = {name: value for name, value in (BIND | change).items() if value is not None}
    answer = api.call(tenant, "POST", "/v1/bindings", body)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert [error["field"] for error in problem["errors"]] == [field]
    assert not re.search(r"1380013|1390013|207183|12345678", answer.text or "")


def test_a_body_that_is_no_json(api: Api, tenant: Tenant) -> None:
    for body in (b"", b"{", b"\xff\xfe", b'{"a":' + b"[" * 5000):
        answer = api.call(tenant, "POST", "/v1/bindings", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


def test_the_same_key_and_body_get_the_same_answer(api: Api, tenant: Tenant) -> None:
    first = api.call(tenant, "POST", "/v1/bindings", BIND, Idempotency_Key="k-1")
    again = api.call(tenant, "POST", "/v1/bindings", BIND, Idempotency_Key="k-1")
    assert (again.status_code, again.json()) == (201, first.json())
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    wrong = api.call(tenant, "POST", "/v1/bindings", BIND | {"order_id": "x"}, Idempotency_Key="k-1")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "idempotency_mismatch")
    bad = api.call(tenant, "POST", "/v1/bindings", BIND, Idempotency_Key="with space")
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "Idempotency-Key")


def test_retries_at_the_same_time_bind_once(api: Api, tenant: Tenant) -> None:
    body = BIND | {"order_id": "at-once"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: api.call(tenant, "POST", "/v1/bindings", body, Idempotency_Key="k-2"), range(16)
            )
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(api.call(tenant, "GET", "/v1/bindings?order_id=at-once").json()["items"]) == 1


def test_a_bulk_is_idempotent_by_item(api: Api, tenant: Tenant) -> None:
    body = {"items": [BIND, BIND | {"order_id": "second"}]}
    first, again = (
        api.call(tenant, "POST", "/v1/bindings/bulk", body, Idempotency_Key="k-3").json()["results"]
        for _ in range(2)
    )
    assert [item["binding"] for item in again] == [item["binding"] for item in first]
    assert [item["replayed"] for item in first + again] == [False, False, True, True]


def test_every_error_has_a_status(api: Api) -> None:
    waiting, seen = [QibaiError], set()
    while waiting:
        error = waiting.pop()
        if error.__module__.startswith("qibai.cli."):  # said on the terminal alone
            continue
        seen.add(error.code)
        assert error.code in STATUS, error
        waiting += error.__subclasses__()
    assert seen == set(STATUS)


def test_addresses_and_methods_that_do_not_exist(api: Api, tenant: Tenant) -> None:
    nothing = api.call(tenant, "GET", "/v1/nothing")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    method = api.call(tenant, "PUT", "/v1/bindings")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in method.headers["allow"]


def test_the_document_says_what_each_operation_answers(api: Api) -> None:
    document = api.call(None, "GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["summary"] and {"401", "503"} <= set(operation["responses"]), path


def test_the_documents_example_of_a_binding_is_a_binding(api: Api, tenant: Tenant) -> None:
    document = api.call(None, "GET", "/openapi.json").json()
    (example,) = document["components"]["schemas"]["BindRequest"]["examples"]
    made = api.call(tenant, "POST", "/v1/bindings", example)
    assert (made.status_code, made.json()["order_id"]) == (201, example["order_id"])


def test_readiness_and_metrics(api: Api, tenant: Tenant) -> None:
    made = api.bind(tenant)
    api.call(tenant, "GET", f"/v1/bindings/{made['id']}")
    assert api.call(None, "GET", "/readyz").status_code == 200
    (api.config.run_dir / "recorder.json").write_text('{"running": {"answered": 3}, "state": "up"}')
    text = api.call(None, "GET", "/metrics").text or ""
    assert re.search(r'qibai_api_requests_total\{method="GET",route="/v1/bindings/\{id[^"]*\}"', text)
    assert 'qibai_calls_running{state="answered"} 3.0' in text
    check(text)
    assert made["id"] not in text and A not in text


def test_binds_and_releases_are_counted_by_result(api: Api, tenant: Tenant) -> None:
    def counted() -> list[float]:
        text = api.call(None, "GET", "/metrics").text or ""
        lines = (
            'qibai_binds_total{result="bound"}',
            'qibai_binds_total{result="replayed"}',
            'qibai_binds_total{result="number_not_owned"}',
            'qibai_releases_total{result="released"}',
        )
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if "_total{" in line)
        return [float(values.get(line, 0)) for line in lines]

    before = counted()
    made, again = (
        api.call(tenant, "POST", "/v1/bindings", BIND, Idempotency_Key="counted").json() for _ in range(2)
    )
    assert made["id"] == again["id"]
    refused = api.call(tenant, "POST", "/v1/bindings", BIND | {"x": "700876543210001"})
    assert refused.json()["code"] == "number_not_owned"
    assert api.call(tenant, "DELETE", f"/v1/bindings/{made['id']}").status_code == 200
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1, 1]


def test_neither_log_nor_metrics_hold_numbers(api: Api, tenant: Tenant) -> None:
    api.call(tenant, "POST", "/v1/bindings", BIND | {"a": "+86138001380019"})
    everything = api.log.read_text() + (api.call(None, "GET", "/metrics").text or "")
    assert not re.search(r"(?<![\d.])(\+86)?1[3-9]\d{9}(?!\d)", everything)


def test_concurrent_binds_are_all_there(api: Api, tenant: Tenant) -> None:
    async def many() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(16) as pool:
            jobs = [
                loop.run_in_executor(
                    pool,
                    lambda n=n: api.bind(tenant, a=f"+86138{n:08d}", order_id="crowd"),  # type: ignore[misc]
                )
                for n in range(60)
            ]
            return list(await asyncio.gather(*jobs))

    made = asyncio.run(many())
    assert len({binding["id"] for binding in made}) == 60
    rows = api.sql("SELECT count(*) FROM binding WHERE order_id = 'crowd'")
    assert rows == [(60,)]


def test_calls_are_listed_for_their_tenant(api: Api, tenant: Tenant, other: Tenant, tmp_path: Path) -> None:
    made = api.bind(tenant)
    (tenant_id,) = api.sql("SELECT id FROM tenant WHERE name = 'one'")[0]
    code = int(made["id"][1:9])
    binding_id = api.sql("SELECT id FROM binding WHERE code = %s ORDER BY id DESC LIMIT 1", code)[0][0]
    for number in (1, 2):
        api.sql(
            """INSERT INTO call (code, id, tenant_id, binding_id, called, node, started_at, ended_at, reason)
               VALUES (%s, %s, %s, %s, %s, 'test', now(), CASE WHEN %s = 2 THEN now() END, 'answered')""",
            code,
            number,
            tenant_id,
            binding_id,
            int(made["x"][-4:]),
            number,
        )
    page = api.call(tenant, "GET", "/v1/calls?limit=1").json()
    (latest,) = page["items"]
    assert latest["called"] == made["x"] and latest["binding_id"] == made["id"]
    (first,) = api.call(tenant, "GET", f"/v1/calls?limit=1&cursor={page['next_cursor']}").json()["items"]
    assert first["id"] != latest["id"] and first["ended_at"] is None
    assert api.call(tenant, "GET", f"/v1/calls/{first['id']}").json() == first
    assert api.call(other, "GET", f"/v1/calls/{first['id']}").json()["code"] == "call_not_found"
    assert api.call(other, "GET", "/v1/calls").json()["items"] == []
    assert api.call(other, "POST", f"/v1/calls/{first['id']}/terminate").status_code == 404
    assert api.call(tenant, "POST", f"/v1/calls/{latest['id']}/terminate").json()["code"] == "call_ended"
    assert api.call(tenant, "POST", f"/v1/calls/{first['id']}/terminate").status_code == 202
    assert api.sql("SELECT count(*) FROM call_order WHERE call_id = 1") == [(1,)]


@pytest.mark.parametrize("field", ["order_id", "industrial_id"])
def test_an_id_that_names_a_party_is_refused(api: Api, tenant: Tenant, field: str) -> None:
    a, b, newcomer = "+8613845670101", "+8613845670102", "+8613845670103"
    parties = {"a": a, "b": b, "order_id": "o"}
    for text in (
        "13845670101",
        "+86 138 4567 0102",
        "t13845670101-7",
        "２０２６１３８４５６７０１０２",
        "138-4567_0101",
        "一三八四五六七零一零一",
        "幺三八肆伍陆柒洞幺洞幺",
        "l3B4567OlOl",
        "t138四五67零1零一x",
    ):
        answer = api.call(tenant, "POST", "/v1/bindings", BIND | parties | {field: text})
        assert (answer.status_code, answer.json()["code"]) == (422, "number_not_allowed"), text
        assert answer.json()["errors"][0]["field"] == field
    # a number that is no party's is an id as any other
    made = api.bind(tenant, **parties | {field: "13845670103"})
    changed = api.call(tenant, "PATCH", f"/v1/bindings/{made['id']}", {"a": newcomer})
    assert (changed.status_code, changed.json()["code"]) == (422, "number_not_allowed")
    assert api.call(tenant, "GET", f"/v1/bindings/{made['id']}").json()["a"] == a


def test_the_digest_of_a_repeatable_request_cannot_be_guessed(api: Api, tenant: Tenant) -> None:
    key, body = "13845670104", msgspec.json.encode(BIND)
    made = [api.call(tenant, "POST", "/v1/bindings", body, Idempotency_Key=key) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    ((kept_key, kept_request),) = api.sql(
        "SELECT key, request FROM idempotency ORDER BY created_at DESC LIMIT 1"
    )
    for text, digest in ((key.encode(), kept_key), (body, kept_request)):
        assert bytes(digest) not in {new(text).digest()[:16] for new in (hashlib.sha256, hashlib.md5)}
