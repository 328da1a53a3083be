"""The client against a real server, and against one that fails before it answers."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from api_tools import A, Api, B, C, Tenant
from qibai.client import (
    AsyncClient,
    BindingEnded,
    BindRequest,
    Client,
    Forbidden,
    IdempotencyMismatch,
    Invalid,
    NoAnswer,
    NotFound,
    Unauthenticated,
)
from qibai.testing.ports import free_port

ITEM = BindRequest(mode="AXYB", a=A, b=B, order_id="order-1", scene="ride")


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", "70012345678", codes_=2)


@pytest.mark.parametrize("signed", [True, False])
def test_the_life_of_a_binding(api: Api, tenant: Tenant, signed: bool) -> None:
    with Client(api.url, tenant.key.bearer, signed=signed) as client:
        made = client.bind(ITEM)
        assert A not in repr(made)
        assert client.get(made.id) == made
        assert client.extend(made.id, ttl=864_000).expires_at > made.expires_at
        assert client.change_party(made.id, a=C).a == C
        assert client.release(made.id).status == "released"
        with pytest.raises(BindingEnded):
            client.extend(made.id, ttl=60)
        with pytest.raises(NotFound):
            client.get("b00000000-0000000000000")
        group = client.bind(BindRequest(mode="GXB", members=[A], b=B, order_id="g"))
        assert client.add_members(group.id, [C]).members == [A, C]
        assert client.remove_members(group.id, [A]).members == [C]
        assert [code.code for code in client.codes()] == ["70012345678", "70012345679"]
        assert list(client.calls()) == []


def test_bulks_and_pages(api: Api, tenant: Tenant) -> None:
    with Client(api.url, tenant.key.bearer) as client:
        items = [BindRequest(mode="AXB", a=A, b=f"+86139{i:08d}", order_id="bulk") for i in range(30)]
        answers = client.bind_many([*items, BindRequest(mode="AXB", a=A, b=A, order_id="bulk")])
        assert [answer.status for answer in answers] == [201] * 30 + [422]
        assert answers[-1].problem is not None and answers[-1].problem.code == "party_repeated"
        ids = [answer.binding.id for answer in answers if answer.binding is not None]
        assert sorted(item.id for item in client.bindings(order_id="bulk", page=7)) == sorted(ids)
        assert {answer.status for answer in client.release_many(ids)} == {200}


def test_errors_by_code(api: Api, tenant: Tenant) -> None:
    with Client(api.url, tenant.key.bearer) as client:
        with pytest.raises(Invalid) as wrong:
            client.bind(BindRequest(mode="AXB", a="123", b=B, order_id="x"))
        assert (wrong.value.code, wrong.value.problem.errors[0].field) == ("number_malformed", "a")
        assert wrong.value.status == 422
        with pytest.raises(Forbidden):
            client.translate("700123456780000", A)
        client.bind(ITEM, idempotency_key="mine")
        with pytest.raises(IdempotencyMismatch):
            client.bind(BindRequest(mode="AXB", a=A, b=C, order_id="x"), idempotency_key="mine")
    with Client(api.url, tenant.key.bearer + "x") as client, pytest.raises(Unauthenticated):
        client.codes()
    port = free_port("127.0.0.1", socket.SOCK_STREAM)
    nobody = Client(f"http://127.0.0.1:{port}", tenant.key.bearer, retries=1)
    with nobody as client, pytest.raises(NoAnswer):
        client.codes()


async def test_the_asynchronous_one(api: Api, tenant: Tenant) -> None:
    async with AsyncClient(api.url, tenant.key.bearer) as client:
        made = await asyncio.gather(*(client.bind(ITEM) for _ in range(20)))
        assert len({binding.id for binding in made}) == 20
        listed = [item.id async for item in client.bindings(order_id="order-1", status="active", page=9)]
        assert {binding.id for binding in made} <= set(listed)
        assert {answer.status for answer in await client.release_many(listed)} == {200}


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "qibai test")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_file, key_file


def test_over_tls(database: Callable[[], str], tmp_path: Path) -> None:
    cert, key = _certificate(tmp_path)
    server = Api(tmp_path / "api", database(), tls_cert=str(cert), tls_key=str(key)).start()
    try:
        who = server.tenant("one", "70012345678")
        with Client(server.url, who.key.bearer, signed=False, verify=str(cert)) as client:
            assert client.bind(ITEM).status == "active"
    finally:
        server.stop()


class _Cutting:
    """A proxy that lets the first requests through, but drops their answers."""

    def __init__(self, target: int, drop: int) -> None:
        self._target, self._drop = target, drop
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with near, socket.create_connection(("127.0.0.1", self._target)) as far:
                near.settimeout(5)
                request = b""
                while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                    request += near.recv(65_536)
                far.sendall(request)
                answer = b""
                while not answer.endswith(b"}"):
                    answer += far.recv(65_536)
                self._drop -= 1
                if self._drop < 0:
                    near.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def test_a_bind_whose_answer_was_lost_is_not_made_twice(api: Api, tenant: Tenant) -> None:
    proxy = _Cutting(api.config.api.port, drop=2)
    try:
        with Client(f"http://127.0.0.1:{proxy.port}", tenant.key.bearer) as client:
            made = client.bind(BindRequest(mode="AXB", a=A, b=B, order_id="lost"))
    finally:
        proxy.close()
    rows: list[Any] = api.sql("SELECT count(*) FROM binding WHERE order_id = 'lost'")
    assert rows == [(1,)] and made.order_id == "lost"
