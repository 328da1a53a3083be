"""How the clients reach the API: kept connections, threads, proxies, certificates."""

import base64
import contextlib
import select
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from api_tools import Api, Tenant
from client_tools import BOTH
from qibai.cli.app import app
from qibai.client import Client, NoAnswer
from qibai.core.errors import Unavailable
from tls_tools import make_certificate

ONE_CODE = ["70012345678"]


@pytest.fixture(autouse=True)
def proxies_as_they_are_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """niquests keeps the proxies that it has read once: the tests that follow would get these."""
    monkeypatch.setattr("niquests.utils.getproxies", urllib.request.getproxies)
    monkeypatch.setattr("niquests.utils.getproxies_environment", urllib.request.getproxies_environment)


class Proxy:
    """An HTTP proxy as others have them; ``heads``: what it was asked."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]  # noqa: UP031
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(near,)))
            self._threads[-1].start()

    def _serve(self, near: socket.socket) -> None:
        near.settimeout(20)
        data = b""
        with near:
            while b"\r\n\r\n" not in data:
                data += near.recv(65_536)
            head, _, rest = data.partition(b"\r\n\r\n")
            self.heads.append(head.decode())
            method, target, version = head.decode().splitlines()[0].split(" ")
            if method == "CONNECT":
                host, port = target.split(":")
                near.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                first = rest
            else:
                parts = urlsplit(target)
                assert parts.hostname is not None
                host, port = parts.hostname, str(parts.port)
                others = head.partition(b"\r\n")[2]
                path = parts.path + (f"?{parts.query}" if parts.query else "")
                first = f"{method} {path} {version}\r\n".encode() + others + b"\r\n\r\n" + rest
            with socket.create_connection((host, int(port))) as far:
                far.sendall(first)
                self._pipe(near, far)

    @staticmethod
    def _pipe(near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        while True:
            for ready in select.select([near, far], [], [], 20)[0]:
                data = b""
                with contextlib.suppress(OSError):
                    data = ready.recv(65_536)
                if not data:
                    return
                other[ready].sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", *ONE_CODE)


@pytest.fixture(scope="module")
def secure(
    database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, Tenant]]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = make_certificate(folder, "127.0.0.1")
    server = Api(folder / "api", database(), tls_cert=str(cert), tls_key=str(key)).start()
    yield server, server.tenant("one", *ONE_CODE)
    server.stop()


def codes(client: Client) -> list[str]:
    return [one.code for one in client.codes()]


def test_one_client_serves_many_threads(api: Api, tenant: Tenant) -> None:
    with Client(api.url, tenant.key.bearer) as client, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda _: codes(client), range(200))) == [ONE_CODE] * 200


def test_a_connection_that_the_server_closed_is_not_used_again(tenant: Tenant) -> None:
    """Each answer says that the connection stays, and yet it ends."""
    asked = 0

    def serve(listener: socket.socket) -> None:
        nonlocal asked
        body = b'{"items": [{"code": "70012345678", "province": null, "enabled": true}]}'
        for _ in range(3):
            near, _ = listener.accept()
            with near:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += near.recv(65_536)
                asked += 1
                near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, tenant.key.bearer, retries=0) as client:
            for _ in range(3):
                assert codes(client) == ONE_CODE
                time.sleep(0.2)  # the end arrives
        thread.join(10)
    assert asked == 3


@pytest.mark.parametrize("connect", BOTH)
def test_a_proxy_of_the_environment_is_asked(
    api: Api,
    tenant: Tenant,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[..., Client],
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", f"http://wang:se%40cret@{proxy.address}")
    with connect(api.url, tenant.key.bearer) as client:
        assert codes(client) == ONE_CODE
    asked, *headers = proxy.heads[0].splitlines()
    assert asked == f"GET {api.url}/v1/codes HTTP/1.1"
    word = base64.b64encode(b"wang:se@cret").decode()
    assert f"proxy-authorization: basic {word.lower()}" in [line.lower() for line in headers]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with connect(api.url, tenant.key.bearer) as client:
        assert codes(client) == ONE_CODE
    assert len(proxy.heads) == 1


def test_tls_goes_through_a_proxy_unread(
    secure: tuple[Api, Tenant], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, tenant = secure
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("https_proxy", proxy.address)
    with Client(api.url, tenant.key.bearer, verify=api.config.api.tls_cert) as client:
        assert [codes(client) for _ in range(3)] == [ONE_CODE] * 3
    asked = [head.splitlines()[0].rpartition(" ")[0] for head in proxy.heads]
    assert asked == [f"CONNECT 127.0.0.1:{api.config.api.port}"]  # three requests on one connection


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("connect", BOTH)
def test_a_certificate_of_nobody_is_refused_and_the_client_says_why(
    secure: tuple[Api, Tenant], connect: Callable[..., Client]
) -> None:
    api, tenant = secure
    with connect(api.url, tenant.key.bearer, retries=0) as client, pytest.raises(NoAnswer) as refused:
        client.codes()
    assert "self-signed" in (refused.value.certificate or "").replace("self signed", "self-signed")
    with connect(api.url, tenant.key.bearer, verify=False) as client:
        assert codes(client) == ONE_CODE


def test_a_command_says_why_it_refuses_a_certificate(secure: tuple[Api, Tenant], tmp_path: Path) -> None:
    api, tenant = secure
    asked = ["--home", str(tmp_path), "calls", "--api-url", api.url, "--api-key", tenant.key.bearer]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, Unavailable) and "is not accepted: self" in str(done.exception)


@pytest.mark.parametrize("connect", BOTH)
@pytest.mark.parametrize("url", ["127.0.0.1:7000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"])
def test_what_is_no_address_is_refused_at_once(
    tenant: Tenant, connect: Callable[..., Client], url: str
) -> None:
    with pytest.raises(ValueError, match="give an address as https://host:port"):
        connect(url, tenant.key.bearer)


def test_a_proxy_that_cannot_be_used_is_refused_at_once(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(ValueError, match="a proxy looks like http://host:port"):
        Client("http://127.0.0.1:7000", tenant.key.bearer)
