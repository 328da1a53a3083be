"""A tenant's service is asked about a text: signed, within its time, and never inside our own networks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from qibai.core.content import ContentPolicy, Hook, OnTimeout
from qibai.messaging.addresses import Allowed
from qibai.messaging.hook import HookClient, Question
from qibai.testing.webhook import WebhookReceiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
QUESTION = Question(
    id="m12345678-0abcdefghjkmn",
    binding_id="b12345678-0abcdefghjkmn",
    order_id="order-1",
    called="700123456781234",
    text="门口见 🚪",
    accepted_at=datetime.now(UTC),
)


class Service(WebhookReceiver):
    """A tenant's service, and policies that ask it."""

    def policy(self, host: str = "127.0.0.1", **changes: Any) -> ContentPolicy:
        made = ContentPolicy(hook=Hook.ASK, url=f"http://{host}:{self.port}/check", timeout_ms=2000)
        return replace(made, **changes)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as made:
        yield made


@pytest.fixture
async def inside() -> AsyncIterator[HookClient]:
    """A client that may ask on loopback."""
    made = HookClient(networks=["127.0.0.0/8", "::1/128"])
    yield made
    await made.close()


async def test_the_service_decides_and_can_verify_who_asks(service: Service, inside: HookClient) -> None:
    assert await inside.ask(7, service.policy(), SECRET, QUESTION)
    service.answer = {"action": "block"}
    assert not await inside.ask(7, service.policy(on_timeout=OnTimeout.CONTINUE), SECRET, QUESTION)
    event = service.events(SECRET)[0]
    assert event["specversion"] == "1.0"
    assert event["type"] == "cn.qibai.message.check"
    assert event["data"] == {
        "message_id": QUESTION.id,
        "binding_id": QUESTION.binding_id,
        "order_id": QUESTION.order_id,
        "called": QUESTION.called,
        "text": QUESTION.text,
    }


@pytest.mark.parametrize("on_timeout", OnTimeout)
@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {"action": "forward"}),
        (307, {"action": "forward"}),
        (204, b""),
        (200, b"yes"),
        (200, b"\xff\xfe"),
        (200, {"action": "perhaps"}),
        (200, {"go": True}),
        (200, b" " * 100_000 + b'{"action": "forward"}'),
        (200, b'{"action": "forward", "more": ' + b"[" * 8_000 + b"]" * 8_000 + b"}"),
        (200, b'{"action": "forward", "more": ' + b"[" * 1_000 + b"]" * 1_000 + b"}"),
        (200, b"[" * 16_000),
    ],
)
async def test_an_answer_that_does_not_count_is_as_none(
    service: Service, inside: HookClient, status: int, answer: object, on_timeout: OnTimeout
) -> None:
    service.status, service.answer = status, answer
    goes_on = await inside.ask(7, service.policy(on_timeout=on_timeout), SECRET, QUESTION)
    assert goes_on is (on_timeout is OnTimeout.CONTINUE)
    assert len(service.requests) == 1  # no redirect was followed


@pytest.mark.parametrize("on_timeout", OnTimeout)
async def test_silence_ends_with_the_time_out(
    service: Service, inside: HookClient, on_timeout: OnTimeout
) -> None:
    service.delay_s = 60
    policy = service.policy(timeout_ms=100, on_timeout=on_timeout)
    assert await inside.ask(7, policy, SECRET, QUESTION) is (on_timeout is OnTimeout.CONTINUE)
    gone = replace(policy, url="http://127.0.0.1:1/check", timeout_ms=2000)
    assert await inside.ask(7, gone, SECRET, QUESTION) is (on_timeout is OnTimeout.CONTINUE)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "127.1"],
)
async def test_a_service_inside_is_not_reached_unless_allowed(service: Service, host: str) -> None:
    outside = HookClient()
    try:
        policy = service.policy(host, on_timeout=OnTimeout.BLOCK)
        assert not await outside.ask(7, policy, SECRET, QUESTION)
    finally:
        await outside.close()
    assert service.requests == []


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.1"),
        *(
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1%eth0",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ),
        *("64:ff9b::10.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::1", "shop.example", ""),
        *("2002:a00:1::1", "64:ff9b:1::a00:1", "::10.0.0.1", "::ffff:0:10.0.0.1", "2606:4700::5efe:10.0.0.1"),
        *("2606:4700::200:5efe:10.0.0.1", "2001:0:1.1.1.1".replace("1.1.1.1", "101:101") + "::f5ff:fffe"),
    ],
)
def test_addresses_that_are_refused(host: str) -> None:
    assert not Allowed()(host)


@pytest.mark.parametrize("host", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_that_are_public(host: str) -> None:
    assert Allowed()(host)


def test_a_network_of_the_operators_own_can_be_allowed() -> None:
    allowed = Allowed(["10.1.0.0/16"])
    assert allowed("10.1.2.3")
    assert not allowed("10.2.2.3")


class _Mute(asyncio.DatagramProtocol):
    """A name server that hears and says nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.asked.set()


async def test_a_mute_name_server_of_one_tenant_holds_nobody_up(service: Service) -> None:
    loop = asyncio.get_running_loop()
    transport, mute = await loop.create_datagram_endpoint(_Mute, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    client = HookClient(networks=["127.0.0.0/8"], nameservers=[f"127.0.0.1:{port}"])
    lost = service.policy("hook.mute.example", timeout_ms=10_000, on_timeout=OnTimeout.BLOCK)
    waiting = [asyncio.create_task(client.ask(1, lost, SECRET, QUESTION)) for _ in range(150)]
    try:
        await asyncio.wait_for(mute.asked.wait(), 10)
        assert await client.ask(2, service.policy(), SECRET, QUESTION)
        assert await asyncio.to_thread(lambda: True)  # no thread waits for a name
        assert not any(task.done() for task in waiting)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await client.close()
        transport.close()
