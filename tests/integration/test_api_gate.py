"""Identity comes before everything else; no other spelling of an address goes round it."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from test_api_access import signed

from api_tools import BIND, Api, Tenant
from http_raw import RawHttp, ask

LARGE = 19_000_000


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", "70012345678")


def head(target: str, *lines: str, method: str = "GET", who: Tenant | None = None) -> str:
    key = [f"Authorization: Bearer {who.key.bearer}"] if who else []
    return "\n".join([f"{method} {target} HTTP/1.1", "Host: qibai", *key, *lines])


@pytest.mark.parametrize(
    "target",
    [
        "//v1/codes",
        "/v1//codes",
        "/%2Fv1/codes",
        "/%2fv1%2fcodes",
        "/v1%2Fcodes",
        "/v1%5Ccodes",
        "/V1/codes",
        "/v1/codes/",
        "/v1/../v1/codes",
        "/docs/../v1/codes",
        "/%2e%2e/v1/codes",
        "/v1/./codes",
        "/v1/%2e/codes",
        "/v1;a=b/codes",
        "/v1/codes;a=b",
        "/v1/admin/applications/01/steps",
        "/v1/admin/applications/%2B1/steps",
        "/v1/admin/applications/+1/steps",
        "/v1/admin/applications/%201/steps",
        "/v1/admin/applications/%EF%BC%91/steps",
        "/v1/admin/applications/1_0/steps",
        "/healthz/../v1/codes",
        "/",
        "/-/unused",
        "/-/unused/swagger",
        "/schema",
        "/schema/openapi.json",
        "/nothing",
    ],
)
def test_other_spellings_lead_nowhere(api: Api, tenant: Tenant, target: str) -> None:
    for who in (None, tenant):
        status, problem = ask(api, head(target, who=who))
        assert (status, problem["code"]) == (404, "not_found")
        assert "codes" not in problem["detail"]


def test_another_version_of_http_is_not_spoken(api: Api, tenant: Tenant) -> None:
    status, problem = ask(api, head("/v1/codes", who=tenant).replace("HTTP/1.1", "HTTP/2.0", 1))
    assert (status, problem["code"]) == (400, "request_invalid")


def test_every_documented_address_needs_a_key(api: Api) -> None:
    document = api.call(None, "GET", "/openapi.json").json()
    for path, item in document["paths"].items():
        target = re.sub(r"\{\w+\}", "1", path)
        for method in [*item, "head", "options", "trace", "delete"]:
            with RawHttp(api) as raw:
                raw.send((head(target, method=method.upper()) + "\n\n").replace("\n", "\r\n").encode())
                assert raw.status() == 401, (method, path)


def test_an_encoded_letter_is_the_same_address_and_needs_the_key_too(api: Api, tenant: Tenant) -> None:
    assert ask(api, head("/%76%31/codes"))[0] == 401
    assert ask(api, head("/%76%31/codes", who=tenant))[0] == 200


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Authorization: Bearer qb_x_y"],
        ["Qibai-Key: x"],
        ["Expect: 100-continue"],
        ["Transfer-Encoding: chunked"],
    ],
)
def test_the_key_is_looked_at_before_the_body_comes(api: Api, lines: list[str]) -> None:
    length = [] if "Transfer-Encoding: chunked" in lines else [f"Content-Length: {LARGE}"]
    status, _ = ask(api, head("/v1/bindings/bulk", *lines, *length, method="POST"))
    assert status == 401  # not one octet of the body was sent


def test_a_signature_over_a_digest_is_looked_at_before_the_body_comes(api: Api, tenant: Tenant) -> None:
    lines = [f"{name}: {value}" for name, value in signed(tenant, "POST", "/v1/codes", b"").items()]
    digest = "Content-Digest: sha-256=:" + base64.b64encode(hashlib.sha256(b"x").digest()).decode() + ":"
    length = f"Content-Length: {LARGE}"
    wrong = ask(api, head("/v1/bindings/bulk", *lines, digest, length, method="POST"))
    assert (wrong[0], wrong[1]["code"]) == (401, "signature_invalid")
    # without a digest a signature says nothing until all is there: so it does not let a large body in
    asked = ask(api, head("/v1/bindings/bulk", *lines, length, method="POST"))
    assert (asked[0], asked[1]["errors"][0]["field"]) == (400, "Content-Digest")


def test_a_signed_body_is_the_one_of_its_digest(api: Api, tenant: Tenant) -> None:
    body = msgspec.json.encode(BIND)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    for nonce, sent, status in (("nonce-dig-1", body, 201), ("nonce-dig-2", body.replace(b"1", b"2"), 401)):
        headers = signed(tenant, "POST", "/v1/bindings", body, nonce=nonce)
        headers["Content-Digest"] = f"sha-256=:{digest}:"
        lines = [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(sent)}")
        assert ask(api, head("/v1/bindings", *lines, method="POST"), sent)[0] == status


def test_each_operation_has_a_limit_of_its_body(api: Api, tenant: Tenant) -> None:
    for method, target, length in (
        ("GET", "/v1/codes", 2_000),
        ("POST", "/v1/bindings", 70_000),
        ("POST", "/v1/bindings/bulk", 30_000_000),
    ):
        lines = [f"Content-Length: {length}"]
        status, problem = ask(api, head(target, *lines, method=method, who=tenant))
        assert (status, problem["code"]) == (413, "body_too_large")
    chunk = b"%x\r\n" % 70_000 + b" " * 70_000 + b"\r\n"
    status, _ = ask(api, head("/v1/bindings", "Transfer-Encoding: chunked", method="POST", who=tenant), chunk)
    assert status == 413


def test_expect_100_continue_and_chunks(api: Api, tenant: Tenant) -> None:
    body = msgspec.json.encode(BIND)
    chunks = b"".join(b"1\r\n%c\r\n" % octet for octet in body) + b"0\r\n\r\n"
    lines = ["Transfer-Encoding: chunked"]
    assert ask(api, head("/v1/bindings", *lines, method="POST", who=tenant), chunks)[0] == 201
    with RawHttp(api) as raw:
        lines = ["Expect: 100-continue", f"Content-Length: {len(body)}"]
        raw.send(
            (head("/v1/bindings", *lines, method="POST", who=tenant) + "\n\n").replace("\n", "\r\n").encode()
        )
        assert raw.answer()[0] == 100
        raw.send(body)
        assert raw.answer()[0] == 201


@pytest.mark.parametrize(
    "target",
    [
        "/v1/bindings?order_id=a%00b",
        "/v1/bindings?order_id=%ff",
        "/v1/bindings?order_id=%ed%a0%80",
        "/v1/bindings?nmuber=700123456781234",
        "/v1/bindings?limit=1&limit=2",
        "/v1/bindings?limit=1e2",
        "/v1/bindings?limit=1.0",
        "/v1/calls?limit=%2B5",
        "/v1/stats?last=6e1",
        "/v1/bindings?limit=%EF%BC%95",
        "/v1/bindings?limit=99999999999999999999999999",
        "/v1/bindings?limit=" + "9" * 6000,
        "/v1/bindings?" + "&".join(f"a{i}=1" for i in range(200)),
        "/v1/bindings?tenant=one%0a",
        "/v1/bindings/b%00",
        "/v1/bindings/%ff",
        "/v1/calls?number=7001234567812%0034",
        "/v1/messages?state=%00",
        "/v1/pools?x=%00",
        "/healthz?x=%00",
        "/docs?x=%00",
    ],
)
def test_what_is_no_text_or_no_parameter_is_refused(api: Api, tenant: Tenant, target: str) -> None:
    status, problem = ask(api, head(target, who=tenant))
    assert (status, problem["code"]) == (400, "request_invalid")


def test_every_whole_number_of_a_query_is_written_as_one(api: Api) -> None:
    """Also in routes to come: the document says which parameters are whole numbers."""
    _, document = ask(api, head("/openapi.json"))
    whole = [
        (path, one["name"])
        for path, item in document["paths"].items()
        for one in item.get("get", {}).get("parameters", ())
        if one.get("in") == "query" and one["schema"].get("type") == "integer"
    ]
    assert ("/v1/admin/audit", "cursor") in whole and ("/v1/stats", "last") in whole
    operator = api.operator("zhou")
    for path, name in whole:
        for value in ("1e2", "1.0", "%2B100"):
            status, problem = ask(api, head(f"{path}?{name}={value}", who=operator))
            assert status == 400, (path, name, value)
            assert (problem["code"], problem["errors"][0]["field"]) == ("request_invalid", name)


@pytest.mark.parametrize(
    "name", ["13812345678", "138-1234-5678", "%EF%BC%91381234567%38", "call%2B8613812345678"]
)
def test_the_name_of_a_field_that_nobody_knows_shows_no_number(api: Api, tenant: Tenant, name: str) -> None:
    _, query = ask(api, head(f"/v1/bindings?{name}=1", who=tenant))
    body = msgspec.json.encode({"mode": "AXB", unquote(name): 1})
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    _, posted = ask(api, head("/v1/bindings", *lines, method="POST", who=tenant), body)
    for problem in (query, posted):
        (error,) = problem["errors"]
        assert "138****5678" in error["field"], problem


@pytest.mark.parametrize(
    "line",
    [
        "Idempotency-Key: a\x00b",
        "Authorization: Bearer \x00",
        "X: a\x01b",
        "Bad Header: x",
        "Qibai-Key\x00: x",
    ],
)
def test_headers_that_are_no_text_are_refused(api: Api, line: str) -> None:
    status, problem = ask(api, head("/v1/codes", line))
    assert (status, problem["code"]) == (400, "request_invalid")


@pytest.mark.parametrize(
    "line",
    [
        "Qibai-Time: ",
        "Qibai-Time: soon",
        "Qibai-Nonce: short",
        "Qibai-Algorithm: none",
        "Content-Digest: x",
        "Content-Digest: sha-256=:" + "A" * 43 + "=:",
    ],
)
def test_signing_headers_beside_a_bearer_key_have_their_form(api: Api, tenant: Tenant, line: str) -> None:
    status, problem = ask(api, head("/v1/codes", line, who=tenant))
    assert (status, problem["code"]) == (400, "request_invalid")
    assert problem["errors"][0]["field"] == line.partition(":")[0]
    good = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    assert ask(api, head("/v1/codes", f"Content-Digest: sha-256=:{good}:", who=tenant))[0] == 200


def test_what_a_role_may_not_do_is_refused_before_its_query_and_body(api: Api) -> None:
    operator = api.operator("zhao")
    lines = ("Content-Length: 100",)  # which never come
    status, problem = ask(api, head("/v1/bindings?x=1", *lines, method="POST", who=operator))
    assert (status, problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("locks", {"number": "700123456781234\n", "why": "x"}),
        ("locks", {"number": "700123456781234", "why": "x\n"}),
        ("codes/drain", {"codes": ["70012345678\n"]}),
        ("codes/drain", {"codes": ["70012345678-70012345679\n"]}),
        ("platforms", {"name": "east\n"}),
        ("quotas", {"tenant": "one\n", "most": 1}),
        ("quotas", {"tenant": "one", "most": 1, "scene": "food\n"}),
    ],
)
def test_a_last_newline_passes_nowhere(api: Api, tenant: Tenant, path: str, body: object) -> None:
    operator = api.operator("qian")
    assert api.call(operator, "POST", f"/v1/admin/{path}", body).status_code in (400, 422)


def test_a_last_newline_is_kept_in_nothing_of_a_tenant(api: Api, tenant: Tenant) -> None:
    for name in ("mode", "a", "b", "order_id", "scene", "province", "x", "messages", "industrial_id"):
        given = {"province": "44", "x": "700123456780001", "messages": "both", "industrial_id": "i"} | BIND
        answer = api.call(tenant, "POST", "/v1/bindings", BIND | {name: f"{given[name]}\n"})
        assert answer.status_code in (400, 422) or "\\n" not in (answer.text or ""), name
        assert answer.status_code in (400, 422) or name in ("a", "b", "province", "x"), name
    made = api.bind(tenant)
    for name in ("a", "b"):
        changed = api.call(tenant, "PATCH", f"/v1/bindings/{made['id']}", {name: "+8613800138009\n"})
        assert "\\n" not in (changed.text or "")
    bulk = api.call(tenant, "POST", "/v1/bindings/bulk-release", {"ids": [made["id"] + "\n"]}).json()
    assert bulk["results"][0]["status"] in (400, 404, 422)


def test_a_header_that_decides_is_there_once(api: Api, tenant: Tenant) -> None:
    for line in (f"Authorization: Bearer {tenant.key.bearer}", "Qibai-Key: a\nQibai-Key: b"):
        status, problem = ask(api, head("/v1/codes", line, who=tenant))
        assert (status, problem["code"]) == (400, "request_invalid")


@pytest.mark.parametrize(
    "body",
    [
        b'{"mode": "AXB", "mode": "AXYB"}',
        b'{"order_id": "a\\u0000b"}',
        b'{"order_id": "\\ud800"}',
        b'{"order_id": "a\\n"}',
        b"[" * 50_000,
        b'{"a":' * 9_000,
        b'{"ttl": ' + b"9" * 5_000 + b"}",
        b'{"ttl": 1e999}',
        b'{"ttl": NaN}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"null",
        b"",
    ],
)
def test_bodies_that_readers_would_read_in_two_ways(api: Api, tenant: Tenant, body: bytes) -> None:
    if body.startswith(b'{"order_id'):
        body = msgspec.json.encode(BIND)[:-1].replace(b'"order_id":"order-1",', b"") + b"," + body[1:]
    answer = api.call(tenant, "POST", "/v1/bindings", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ('application/json; charset="UTF-8"', 201),
        ("application/json; charset=gbk", 415),
        ("text/xml", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
def test_the_type_of_a_body(api: Api, tenant: Tenant, kind: str, status: int) -> None:
    answer = api.call(tenant, "POST", "/v1/bindings", BIND, Content_Type=kind)
    assert answer.status_code == status
    packed = api.call(tenant, "POST", "/v1/bindings", BIND, Content_Encoding="gzip")
    assert (packed.status_code, packed.json()["code"]) == (415, "media_type_unsupported")


@pytest.mark.parametrize("path", ["/docs", "/docs/zh-CN/errors.html", "/docs/reference.html"])
def test_pages_run_their_own_scripts_and_load_nothing_from_elsewhere(api: Api, path: str) -> None:
    page = api.call(None, "GET", path)
    assert page.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    for kind, sources in policy.items():
        assert "http" not in sources and "*" not in sources, kind
    assert all(source == "'self'" or "'sha256-" in source for source in policy["script-src"].split())
    assert not re.search(r'(?:src|href)="(?:https?:)?//[^"]*\.(?:js|css|woff2?|png|svg)"', page.text or "")
    assert page.headers["x-content-type-options"] == "nosniff"


def test_the_first_page_is_in_the_readers_language(api: Api) -> None:
    for language, path in (
        ("zh-CN,zh;q=0.9,en;q=0.8", "/docs/zh-CN/index.html"),
        ("de, en;q=0.5", "/docs/index.html"),
    ):
        assert (api.call(None, "GET", "/docs", Accept_Language=language).url or "").endswith(path)


@pytest.mark.parametrize(
    "path",
    ["/docs/", "/docs/nothing", "/docs/assets", "/docs/%2e%2e/docs.py", "/docs/..%2fdocs.py"],
)
def test_only_the_files_of_the_site_are_pages(api: Api, path: str) -> None:
    status, problem = ask(api, head(path))
    assert (status, problem["code"]) == (404, "not_found")


def test_metrics_are_for_near_addresses_or_an_operator(api: Api, tenant: Tenant) -> None:
    assert ask(api, head("/metrics"))[0] == 200
    assert ask(api, head("/metrics", "X-Forwarded-For: 203.0.113.1"))[0] == 401
    assert ask(api, head("/metrics", "X-Forwarded-For: 203.0.113.1", who=tenant))[0] == 403
    operator = api.operator()
    assert ask(api, head("/metrics", "X-Forwarded-For: 203.0.113.1", who=operator))[0] == 200


def test_each_key_has_a_rate(database: Callable[[], str], tmp_path: Path) -> None:
    server = Api(tmp_path, database(), rate=3).start()
    try:
        who, other = server.tenant("one", "70012345678"), server.tenant("two")
        answers = [server.call(who, "GET", "/v1/codes") for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused and answers[0].status_code == 200
        assert refused[0].json()["code"] == "rate_limited"
        assert refused[0].headers["retry-after"] == refused[0].headers["ratelimit-reset"] == "1"
        assert answers[0].headers["ratelimit-limit"] == "3"
        assert answers[0].headers["ratelimit-remaining"] == "2"
        assert server.call(other, "GET", "/v1/codes").status_code == 200
    finally:
        server.stop()
