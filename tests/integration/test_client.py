"""Both clients against a real server, and against one that fails before it answers."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from api_tools import A, Api, B, C, Tenant
from client_tools import BOTH
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
from tls_tools import make_certificate

#: Either client: the methods of both have the same names and arguments.
Connect = Callable[..., Client]
ITEM = BindRequest(mode="AXYB", a=A, b=B, order_id="order-1", scene="ride")


@pytest.fixture(params=BOTH, ids=["waiting", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """What makes the client at hand."""
    connect: Connect = request.param
    return connect


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", "70012345678", codes_=2)


@pytest.mark.parametrize("signed", [True, False])
def test_the_life_of_a_binding(connect: Connect, api: Api, tenant: Tenant, signed: bool) -> None:
    with connect(api.url, tenant.key.bearer, signed=signed) as client:
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


def test_bulks_and_pages(connect: Connect, api: Api, tenant: Tenant) -> None:
    order = uuid4().hex
    with connect(api.url, tenant.key.bearer) as client:
        items = [BindRequest(mode="AXB", a=A, b=f"+86139{i:08d}", order_id=order) for i in range(30)]
        answers = client.bind_many([*items, BindRequest(mode="AXB", a=A, b=A, order_id=order)])
        assert [answer.status for answer in answers] == [201] * 30 + [422]
        assert answers[-1].problem is not None and answers[-1].problem.code == "party_repeated"
        ids = [answer.binding.id for answer in answers if answer.binding is not None]
        assert sorted(item.id for item in client.bindings(order_id=order, page=7)) == sorted(ids)
        assert {answer.status for answer in client.release_many(ids)} == {200}


def test_errors_by_code(connect: Connect, api: Api, tenant: Tenant) -> None:
    with connect(api.url, tenant.key.bearer) as client:
        with pytest.raises(Invalid) as wrong:
            client.bind(BindRequest(mode="AXB", a="123", b=B, order_id="x"))
        assert (wrong.value.code, wrong.value.problem.errors[0].field) == ("number_malformed", "a")
        assert wrong.value.status == 422
        with pytest.raises(Forbidden):
            client.translate("700123456780000", A)
        client.bind(ITEM, idempotency_key="mine")
        with pytest.raises(IdempotencyMismatch):
            client.bind(BindRequest(mode="AXB", a=A, b=C, order_id="x"), idempotency_key="mine")
    with connect(api.url, tenant.key.bearer + "x") as client, pytest.raises(Unauthenticated):
        client.codes()
    port = free_port("127.0.0.1", socket.SOCK_STREAM)
    nobody = connect(f"http://127.0.0.1:{port}", tenant.key.bearer, retries=1)
    with nobody as client, pytest.raises(NoAnswer):
        client.codes()


async def test_many_binds_at_once_on_one_client(api: Api, tenant: Tenant) -> None:
    async with AsyncClient(api.url, tenant.key.bearer) as client:
        made = await asyncio.gather(*(client.bind(ITEM) for _ in range(20)))
        assert len({binding.id for binding in made}) == 20
        listed = [item.id async for item in client.bindings(order_id="order-1", status="active", page=9)]
        assert {binding.id for binding in made} <= set(listed)
        assert {answer.status for answer in await client.release_many(listed)} == {200}


def test_over_tls(connect: Connect, database: Callable[[], str], tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "127.0.0.1")
    server = Api(tmp_path / "api", database(), tls_cert=str(cert), tls_key=str(key)).start()
    try:
        who = server.tenant("one", "70012345678")
        with connect(server.url, who.key.bearer, signed=False, verify=str(cert)) as client:
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


def test_a_bind_whose_answer_was_lost_is_not_made_twice(connect: Connect, api: Api, tenant: Tenant) -> None:
    order = uuid4().hex
    proxy = _Cutting(api.config.api.port, drop=2)
    try:
        with connect(f"http://127.0.0.1:{proxy.port}", tenant.key.bearer) as client:
            made = client.bind(BindRequest(mode="AXB", a=A, b=B, order_id=order))
    finally:
        proxy.close()
    with connect(api.url, tenant.key.bearer) as client:
        assert list(client.bindings(order_id=order)) == [made]
