"""A client has a bounded number of connections, a bounded head, and bounded time."""

from collections.abc import Callable, Iterator

import pytest

from api_tools import Api, wait_for
from http_raw import RawHttp, ask

SOON = {"head_s": 0.5, "body_s": 1.5, "body_idle_s": 0.5, "max_connections_per_address": 8}


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database(), **SOON).start()
    yield server
    server.stop()


def test_a_mute_connection_ends(api: Api) -> None:
    with RawHttp(api) as raw:
        assert raw.rest() == b""


@pytest.mark.parametrize("sent", [b"GET", b"GET /v1/codes HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nA: b"])
def test_a_head_that_does_not_come_whole_ends(api: Api, sent: bytes) -> None:
    with RawHttp(api) as raw:
        raw.send(sent)
        assert b" 408 " in raw.rest()


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_ends(api: Api, framing: bytes) -> None:
    who = api.tenant(f"body-{framing[0]}", None)
    with RawHttp(api) as raw:
        key = f"Authorization: Bearer {who.key.bearer}".encode()
        raw.send(b"POST /v1/bindings HTTP/1.1\r\nHost: x\r\n" + key + b"\r\n" + framing + b"\r\n\r\n")
        assert b" 408 " in raw.rest()


def test_a_refused_body_is_not_waited_for(api: Api) -> None:
    with RawHttp(api) as raw:
        raw.send(b"POST /v1/bindings HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert raw.answer()[0] == 401
        raw.rest()  # ends


@pytest.mark.parametrize(
    "line",
    [
        "A: " + "x" * 40_000,
        "\n".join(f"A{i}: x" for i in range(101)),
        "\n".join(f"A{i}: {'x' * 2000}" for i in range(20)),
        "A" * 40_000 + ": x",
    ],
)
def test_a_head_is_bounded(api: Api, line: str) -> None:
    status, problem = ask(api, f"GET /v1/codes HTTP/1.1\nHost: x\n{line}")
    assert (status, problem["code"]) == (431, "headers_too_large")
    status, _ = ask(api, f"GET /v1/codes?{'x' * 40_000} HTTP/1.1\nHost: x")
    assert status == 431


def test_an_endless_header_is_cut_off(api: Api) -> None:
    with RawHttp(api) as raw:
        raw.send(b"GET / HTTP/1.1\r\nA: ")
        for _ in range(64):
            raw.send(b"x" * 4096)
        assert b" 431 " in raw.rest()


def test_one_address_has_a_bounded_number_of_connections(api: Api) -> None:
    held = [RawHttp(api, "127.0.0.2") for _ in range(8)]
    try:
        with RawHttp(api, "127.0.0.2") as one_more:
            status, problem = one_more.answer()
            assert (status, problem["code"]) == (503, "overloaded")
        with RawHttp(api, "127.0.0.3") as other:
            other.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert other.answer() == (200, "ok\n")
    finally:
        for one in held:
            one.__exit__()

    def again() -> bool:
        with RawHttp(api, "127.0.0.2") as raw:
            raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return raw.answer()[0] == 200

    wait_for(again)


def test_what_was_ended_is_counted(api: Api) -> None:
    with RawHttp(api) as raw:
        raw.send(b"GET")
        assert b" 408 " in raw.rest()
    text = api.call(None, "GET", "/metrics").text or ""
    assert 'qibai_api_connections_ended_total{limit="head"}' in text


def test_several_requests_on_one_connection(api: Api) -> None:
    with RawHttp(api) as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        first, second = raw.answer(), None
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        second = raw.answer()
        assert first == second == (200, "ok\n")
