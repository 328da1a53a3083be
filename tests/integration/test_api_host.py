"""A request names one host, in whatever form its request line has."""

from collections.abc import Callable, Iterator

import pytest

from api_tools import Api, Tenant
from http_raw import ask


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", "70012345678")


@pytest.mark.parametrize(
    ("version", "lines", "expected"),
    [("1.1", "", 400), ("1.1", "Host: a\nHost: b\n", 400), ("1.1", "Host: a\n", 200), ("1.0", "", 200)],
)
def test_a_request_has_one_host(api: Api, tenant: Tenant, version: str, lines: str, expected: int) -> None:
    key = f"Authorization: Bearer {tenant.key.bearer}"
    status, problem = ask(api, f"GET /v1/codes HTTP/{version}\n{lines}{key}")
    assert status == expected
    assert expected == 200 or problem["errors"][0]["field"] == "Host"


@pytest.mark.parametrize(
    ("target", "host", "wrong"),
    [
        ("http://qibai/v1/codes", "qibai", None),
        ("HTTP://QIBAI:80/v1/codes", "qibai:80", None),
        ("http://[::1]:8080/v1/codes", "[::1]:8080", None),
        ("http://other.host/v1/codes", "qibai", "Host"),
        ("http://other.host/v1/codes?x=1", "qibai", "Host"),
        ("http://qibai:81/v1/codes", "qibai:80", "Host"),
        ("http://qibai:80/v1/codes", "qibai", "Host"),
        ("http://user@qibai/v1/codes", "qibai", "Host"),
        ("/v1/codes?at=http://other.host/", "qibai", "at"),  # not in absolute form: only an unknown parameter
    ],
)
def test_a_request_line_in_absolute_form_names_the_same_host(
    api: Api, tenant: Tenant, target: str, host: str, wrong: str | None
) -> None:
    key = f"Authorization: Bearer {tenant.key.bearer}"
    status, problem = ask(api, f"GET {target} HTTP/1.1\nHost: {host}\n{key}")
    assert status == (200 if wrong is None else 400)
    if wrong is not None:
        assert (problem["code"], problem["errors"][0]["field"]) == ("request_invalid", wrong)


def test_http_1_0_may_name_its_host_in_the_request_line_alone(api: Api, tenant: Tenant) -> None:
    key = f"Authorization: Bearer {tenant.key.bearer}"
    assert ask(api, f"GET http://qibai/v1/codes HTTP/1.0\n{key}")[0] == 200
    assert ask(api, f"GET http://qibai/v1/codes HTTP/1.0\nHost: other\n{key}")[0] == 400
