"""Errors of the API and the command line: what they name is there, and Chinese readers get Chinese."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from cli_tools import Cli, cli_in

from api_tools import Api
from database_tools import as_platform

A, B = "13800138000", "13900139000"
BIND: Final = {"mode": "AXB", "a": A, "b": B, "order_id": "o"}


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    made = Api(tmp_path_factory.mktemp("words") / "api", database())
    try:
        yield made.start()
    finally:
        made.stop()


def test_limits_and_fields_are_named(api: Api) -> None:
    acme = api.tenant("acme")
    for path, field, says in (
        ("/v1/calls?limit=1001", "limit", "give at most 1000"),
        ("/v1/calls?limit=0", "limit", "give at least 1"),
        ("/v1/calls?limit=many", "limit", "give a whole number"),
        ("/v1/bindings?status=dead", "status", "give one of the documented values"),
        ("/v1/bindings?order_id=" + "x" * 65, "order_id", "give at most 64 characters"),
    ):
        (error,) = api.call(acme, "GET", path).json()["errors"]
        assert (error["field"], error["message"]) == (field, says), path
    for body, field, says in (
        (BIND | {"colour": "red"}, "colour", "there is no such field"),
        ({"mode": "AXB", "a": A, "order_id": "o"}, "b", "this field is missing"),
        (BIND | {"ttl": 0}, "ttl", "give at least 1"),
    ):
        (error,) = api.call(acme, "POST", "/v1/bindings", body).json()["errors"]
        assert (error["field"], error["message"]) == (field, says), body
    wanted = api.call(acme, "POST", "/v1/bindings", BIND | {"x": "700999999999999"}).json()
    assert wanted["code"] in ("number_not_owned", "no_codes")
    assert [one["field"] for one in wanted["errors"]] in (["x"], [])


def test_the_api_speaks_the_language_asked_for(api: Api) -> None:
    acme = api.tenant("zhong")
    chinese = api.call(acme, "GET", "/v1/bindings/b12345678-0abcdefghjkmn", Accept_Language="zh-CN")
    said = chinese.json()
    assert (said["code"], said["title"], said["detail"]) == (
        "binding_not_found",
        "不存在",
        "该租户没有这个绑定。",
    )
    assert chinese.headers["content-language"] == "zh"
    english = api.call(acme, "GET", "/v1/bindings/b12345678-0abcdefghjkmn")
    assert english.json()["title"] == "Not found" and english.headers["content-language"] == "en"
    nobody = api.call(None, "GET", "/v1/bindings", Accept_Language="zh").json()
    assert nobody["detail"] == "请提供有效的 API 密钥或签名。"


def test_a_charset_stands_once(api: Api) -> None:
    for path in ("/metrics", "/docs", "/docs/reference.html", "/healthz", "/readyz"):
        kind = api.call(None, "GET", path).headers["content-type"]
        assert kind.lower().count("charset") == 1, kind


@pytest.fixture
def cli(api: Api, tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home", QIBAI_STORE_DSN=as_platform(api.dsn), QIBAI_API_URL=api.url) as made:
        made.run("init")
        yield made


def test_the_command_line_prints_the_errors_that_the_api_names(api: Api, cli: Cli) -> None:
    key = api.tenant("line").key.bearer
    said = cli.run("messages", "--binding", "nonsense", status=1, QIBAI_API_KEY=key).stderr
    assert "see errors" not in said and "(binding)" in said
    ended = cli.run("bind", "--a", A, "--b", B, "--order", "o", "--ttl", "0", status=1, QIBAI_API_KEY=key)
    assert "error request_invalid: give at least 1 (ttl)" in ended.stderr
    assert (
        "(expected)"
        not in cli.run(
            *("bind", "--a", A, "--b", B, "--order", "o", "--x", "700999999999999"),
            status=1,
            QIBAI_API_KEY=key,
        ).stderr
    )


def test_the_command_line_speaks_chinese(cli: Cli) -> None:
    said = cli.run("tenant", "disable", "nobody", status=1, LANG="zh_CN.UTF-8", LC_ALL="").stderr
    assert said.startswith("错误 tenant_not_found: 没有这个租户。")
    said = cli.run("show", "123", status=1, QIBAI_LANG="zh", QIBAI_API_KEY="qb_x_y").stderr
    assert said.startswith("错误 number_700_malformed: 700 号码应写成 700 加十二位数字。")
    english = cli.run("tenant", "disable", "nobody", status=1, LANG="zh_CN.UTF-8", QIBAI_LANG="en").stderr
    assert english.startswith("error tenant_not_found: No such tenant.")
