"""Who may ask: bearer keys and signatures, over two workers; overload; a database that is away."""

import hashlib
import hmac
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import niquests
import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from api_tools import BIND, Api, Tenant, wait_for
from qibai.api.auth import Authenticator
from qibai.api.errors import HttpsRequired
from qibai.config import Config
from qibai.core.errors import Unauthenticated
from qibai.core.roles import Role
from qibai.store.connections import Connections
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.keys import Keyring
from qibai.store.upgrade import upgrade


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database(), workers=2).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", "70012345678")


def signed(
    who: Tenant, method: str, target: str, body: bytes, *, at: float | None = None, nonce: str = "nonce-0001"
) -> dict[str, str]:
    moment = str(int(time.time() if at is None else at))
    text = f"{method}\n{target}\n{hashlib.sha256(body).hexdigest()}\n{moment}\n{nonce}".encode()
    return {
        "Qibai-Key": who.key.id,
        "Qibai-Time": moment,
        "Qibai-Nonce": nonce,
        "Qibai-Signature": hmac.new(who.key.secret.encode(), text, "sha256").hexdigest(),
    }


def send(
    api: Api, headers: dict[str, str], method: str = "GET", target: str = "/v1/codes", body: bytes = b""
) -> tuple[int, str]:
    answer = niquests.request(method, api.url + target, headers=headers, data=body or None, timeout=10)
    data: dict[str, Any] = answer.json()
    return answer.status_code or 0, data.get("code", "")


def test_no_key_wrong_key_half_a_key(api: Api, tenant: Tenant) -> None:
    bearer = tenant.key.bearer
    for value in ("", "Bearer", "Bearer x", f"Bearer {bearer}x", f"Bearer {bearer[:-1]}", f"Basic {bearer}"):
        assert send(api, {"Authorization": value}) == (401, "unauthenticated")
    assert send(api, {"Authorization": f"Bearer {bearer}"})[0] == 200
    answer = niquests.get(api.url + "/v1/codes")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_signature_holds_once_on_any_worker(api: Api, tenant: Tenant) -> None:
    body = msgspec.json.encode(BIND)
    headers = signed(tenant, "POST", "/v1/bindings", body, nonce="nonce-once")
    assert send(api, headers, "POST", "/v1/bindings", body)[0] == 201
    for _ in range(6):  # new connections: both workers are asked
        assert send(api, headers, "POST", "/v1/bindings", body) == (401, "signature_replayed")


def test_a_signature_covers_method_target_body_and_time(api: Api, tenant: Tenant) -> None:
    target = "/v1/bindings?limit=1"
    good = signed(tenant, "GET", target, b"", nonce="nonce-cover")
    assert send(api, good, "GET", "/v1/bindings?limit=2") == (401, "signature_invalid")
    assert send(api, good, "GET", "/v1/codes") == (401, "signature_invalid")
    assert send(api, good, "GET", target, b"{}") == (401, "signature_invalid")
    later = good | {"Qibai-Time": str(int(good["Qibai-Time"]) + 1)}
    assert send(api, later, "GET", target) == (401, "signature_invalid")
    assert send(api, good | {"Qibai-Nonce": "nonce-other"}, "GET", target) == (401, "signature_invalid")
    assert send(api, good | {"Qibai-Signature": "00" * 32}, "GET", target) == (401, "signature_invalid")
    assert send(api, good, "GET", target)[0] == 200


@pytest.mark.parametrize("off", [-302, 302])
def test_a_signature_holds_five_minutes(api: Api, tenant: Tenant, off: int) -> None:
    headers = signed(tenant, "GET", "/v1/codes", b"", at=time.time() + off, nonce=f"nonce-{off}")
    assert send(api, headers) == (401, "signature_expired")


def test_a_signature_by_sm3(api: Api, tenant: Tenant) -> None:
    headers = signed(tenant, "GET", "/v1/codes", b"", nonce="nonce-sm3")
    text = "\n".join(
        ("GET", "/v1/codes", hashlib.sha256(b"").hexdigest(), headers["Qibai-Time"], "nonce-sm3")
    )
    mac = HMAC(tenant.key.secret.encode(), hashes.SM3())
    mac.update(text.encode())
    headers |= {"Qibai-Signature": mac.finalize().hex(), "Qibai-Algorithm": "hmac-sm3"}
    assert send(api, headers)[0] == 200


async def test_a_bearer_key_needs_https_unless_from_this_machine(dsn: str, keyring: Keyring) -> None:
    connections = Connections(dsn, 1)
    headers = {b"authorization": b"Bearer qb_abc_secret"}
    near, far = ("127.0.0.1", 1), ("192.0.2.7", 1)
    for scheme, client, lifted, error in (
        ("http", far, False, HttpsRequired),
        ("http", None, False, HttpsRequired),
        ("http", near, False, Unauthenticated),
        ("https", far, False, Unauthenticated),
        ("http", far, True, Unauthenticated),
    ):
        auth = Authenticator(connections, keyring, plain_bearer=lifted)
        with pytest.raises(error):
            await auth.check({"scheme": scheme, "client": client}, headers, "GET", "/v1/codes", b"")
    await connections.close()


def test_a_disabled_tenant_is_out_within_a_second_or_so(api: Api) -> None:
    who = api.tenant("soon-disabled")
    headers = {"Authorization": f"Bearer {who.key.bearer}"}
    assert send(api, headers)[0] == 200
    api.sql("UPDATE tenant SET disabled_at = now() WHERE id = %s", who.id)
    wait_for(lambda: [send(api, headers) for _ in range(4)] == [(403, "tenant_disabled")] * 4, 5)


def test_metrics_are_of_all_workers(api: Api, tenant: Tenant) -> None:
    for _ in range(20):
        api.call(tenant, "GET", "/v1/codes")
    texts = {
        line
        for line in (api.call(None, "GET", "/metrics").text or "").splitlines()
        if 'route="/v1/codes"' in line and line.startswith("qibai_api_requests_total") and '"200"' in line
    }
    assert sum(float(line.rpartition(" ")[2]) for line in texts) >= 20


def test_a_database_that_is_away_is_a_503_soon_and_comes_back(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(Config(home=tmp_path / "pg"))
    postgres.start()
    server = None
    try:
        upgrade(Config(home=tmp_path / "pg"))
        server = Api(tmp_path / "api", postgres.dsn)
        server.start()
        who = server.tenant("one", "70012345678")
        network = server.tenant("network", kind=Role.NETWORK)
        made = server.bind(who)
        query = {"called": made["x"], "caller": BIND["a"]}
        assert server.call(network, "POST", "/v1/translations", query).json()["decision"] == "connect"
        postgres.stop()
        for _ in range(3):
            answer = server.call(who, "POST", "/v1/bindings", BIND)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert answer.headers["retry-after"] == "1"
        assert server.call(network, "POST", "/v1/translations", query).status_code == 503
        assert server.call(None, "GET", "/readyz").status_code == 503
        assert server.call(None, "GET", "/healthz").status_code == 200
        postgres.start()
        running = server
        wait_for(lambda: running.call(who, "POST", "/v1/bindings", BIND).status_code == 201)
        wait_for(lambda: running.call(network, "POST", "/v1/translations", query).status_code == 200)
        assert server.call(who, "GET", f"/v1/bindings/{made['id']}").json()["x"] == made["x"]
        assert server.call(None, "GET", "/readyz").status_code == 200
    finally:
        if server is not None:
            server.stop()
        postgres.stop()


def test_a_stop_answers_what_is_under_way(database: Callable[[], str], tmp_path: Path) -> None:
    server = Api(tmp_path, database()).start()
    try:
        who = server.tenant("one", "70012345678")
        server.bind(who)
        with psycopg.connect(server.dsn) as held:
            held.execute("LOCK TABLE binding IN SHARE MODE")  # a bind now waits
            body = msgspec.json.encode(BIND | {"order_id": "last"})
            with niquests.Session(multiplexed=False) as session, ThreadPoolExecutor(1) as pool:
                job = pool.submit(
                    session.post,
                    server.url + "/v1/bindings",
                    data=body,
                    headers={"Authorization": f"Bearer {who.key.bearer}"},
                    timeout=20,
                )
                wait_for(
                    lambda: server.sql(
                        "SELECT 1 FROM pg_locks WHERE NOT granted AND database ="
                        " (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                )
                os.kill(server.process.pid, signal.SIGTERM)
                held.rollback()
                assert job.result().status_code == 201
        server.process.join(20)
        assert server.process.exitcode is not None
    finally:
        server.stop()
