"""Anchors leave the machine: by syslog and by HTTP; a sink that does not answer is seen, or stops acts."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_tools import Cli, cli_in

from api_tools import Api, wait_for
from database_tools import as_platform
from qibai.config import AuditConfig
from qibai.testing.ports import free_port
from tls_tools import make_certificate


class Posts:
    """A collector that keeps what is posted to it."""

    def __init__(self) -> None:
        got: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.got = got
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/anchors"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def posts() -> Iterator[Posts]:
    made = Posts()
    yield made
    made.stop()


@pytest.fixture
def cli(database: Callable[[], str], tmp_path: Path) -> Iterator[Cli]:
    dsn = as_platform(database())
    with cli_in(tmp_path / "home", QIBAI_STORE_DSN=dsn, QIBAI_VOICE_ENABLED="false") as made:
        made.run("init")
        yield made


def finding(cli: Cli, name: str, **env: str) -> dict[str, str]:
    checks = cli.json("doctor", status=1, **env)["checks"]  # the API does not run here
    return next(check for check in checks if check["name"] == name)


def test_each_anchor_is_posted(cli: Cli, posts: Posts) -> None:
    for name in ("one", "two"):
        cli.run("tenant", "add", name, QIBAI_AUDIT_HTTP=posts.url)
    wait_for(lambda: len(posts.got) == 2)
    assert [one["seq"] for one in posts.got] == [1, 2]
    assert posts.got[-1]["anchor"] == cli.json("audit", "verify")["head"]
    assert finding(cli, "audit sink http", QIBAI_AUDIT_HTTP=posts.url)["state"] == "ok"


def test_each_anchor_goes_to_syslog_by_tcp_and_udp(cli: Cli) -> None:
    got = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def take() -> None:
            peer, _ = server.accept()
            with peer:
                while data := peer.recv(4096):
                    got.append(data)

        taker = threading.Thread(target=take)
        taker.start()
        cli.run("tenant", "add", "one", QIBAI_AUDIT_SYSLOG=f"tcp://127.0.0.1:{server.getsockname()[1]}")
        taker.join(60)
    length, _, message = b"".join(got).partition(b" ")
    assert int(length) == len(message)
    assert message.startswith(b"<109>1 ")
    assert message.decode().endswith(cli.json("audit", "verify")["head"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        cli.run("tenant", "add", "two", QIBAI_AUDIT_SYSLOG=f"udp://127.0.0.1:{server.getsockname()[1]}")
        assert server.recv(4096).decode().endswith(cli.json("audit", "verify")["head"])


def test_each_anchor_goes_to_syslog_by_tls_if_the_certificate_is_right(cli: Cli, tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    got = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"tls://127.0.0.1:{server.getsockname()[1]}"

        def take() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                with suppress(ssl.SSLError), context.wrap_socket(peer, server_side=True) as secure:
                    while data := secure.recv(4096):
                        got.append(data)
                    secure.unwrap()

        taker = threading.Thread(target=take)
        taker.start()
        refused = cli.run("tenant", "add", "one", QIBAI_AUDIT_SYSLOG=url)
        assert "the audit trail's sink does not answer: syslog (SSLCertVerificationError)" in refused.stderr
        assert finding(cli, "audit sink syslog", QIBAI_AUDIT_SYSLOG=url)["state"] == "fail"
        variables = {"QIBAI_AUDIT_SYSLOG": url, "QIBAI_AUDIT_CA": str(cert)}
        assert "warning" not in cli.run("tenant", "add", "two", **variables).stderr
        taker.join(60)
    assert b"".join(got).decode().endswith(cli.json("audit", "verify")["head"])
    assert finding(cli, "audit sink syslog", **variables)["state"] == "ok"


def test_a_sink_that_is_away_is_seen(cli: Cli, posts: Posts) -> None:
    away = f"http://127.0.0.1:{free_port('127.0.0.1', socket.SOCK_STREAM)}/"
    made = cli.run("tenant", "add", "one", QIBAI_AUDIT_HTTP=away)
    assert "warning: the audit trail's sink does not answer: http" in made.stderr
    assert finding(cli, "audit sink http", QIBAI_AUDIT_HTTP=away)["state"] == "fail"
    cli.run("tenant", "add", "two", QIBAI_AUDIT_HTTP=posts.url)
    assert finding(cli, "audit sink http", QIBAI_AUDIT_HTTP=posts.url)["state"] == "ok"


def test_where_a_sink_is_required_no_act_is_done_without_it(
    database: Callable[[], str], tmp_path: Path, posts: Posts
) -> None:
    api = Api(tmp_path / "api", database())
    api.config = msgspec.structs.replace(api.config, audit=AuditConfig(http=posts.url, required=True))
    api.start()
    try:
        operator = api.operator()
        done = api.call(operator, "POST", "/v1/admin/platforms", {"name": "east"})
        assert done.status_code == 201
        assert [one["seq"] for one in posts.got] == [1]
        posts.stop()
        refused = api.call(operator, "POST", "/v1/admin/platforms", {"name": "west"})
        assert (refused.status_code, refused.json()["code"]) == (503, "audit_unanchored")
        assert api.sql("SELECT name FROM platform") == [("east",)]
        assert api.sql("SELECT count(*) FROM audit") == [(1,)]
        said = api.call(operator, "GET", "/metrics").text or ""
        assert 'qibai_audit_sink_failures_total{sink="http"} 1.0' in said
        assert 'qibai_audit_sink_up{sink="http"} 0.0' in said
    finally:
        api.stop()


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"QIBAI_AUDIT_SYSLOG": "logs.example"}, "udp:// or tcp:// or tls://"),
        ({"QIBAI_AUDIT_HTTP": "ftp://logs.example"}, "http:// or https://"),
        ({"QIBAI_AUDIT_REQUIRED": "true"}, "give syslog or http as well"),
    ],
)
def test_a_sink_that_cannot_be_is_refused(tmp_path: Path, variables: dict[str, str], says: str) -> None:
    failed = Cli(tmp_path / "home", **variables).run("config", "check", status=1)
    assert says in failed.stderr + failed.stdout
