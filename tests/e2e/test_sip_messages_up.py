"""Text messages by SIP through ``qibai up``: from a telephone to the other, and what is kept of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli
from test_privacy import leaks_of_call
from up_tools import platform_with_peers, tenant_key

from qibai.client import BindRequest, Client, Message
from qibai.core.numbering import Msisdn
from qibai.testing.capture import Capture
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import free_port, listening, wait_for
from qibai.testing.sipp import Agent, Scenario, run
from voice_tools import CALLEE_AT, CALLER_AT, C

pytestmark = pytest.mark.voice

A, B = Msisdn("+8615273940618"), Msisdn("+8618640927351")
WRAPPED = """From: A <sip:{own}@home.example>
To: <sip:{x}@home.example>
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: 34jk324j
imdn.Disposition-Notification: positive-delivery, negative-delivery

Content-Type: text/plain;charset=UTF-8

我到了"""


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with platform_with_peers(tmp_path_factory.mktemp("texts"), QIBAI_VOICE_PROBE_INTERVAL_S="0") as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def key(cli: Cli) -> str:
    return tenant_key(cli)


class World:
    """A binding, and the telephones of its parties."""

    def __init__(self, cli: Cli, client: Client, folder: Path) -> None:
        self.cli, self.client, self.folder = cli, client, folder
        self.binding = client.bind(BindRequest(mode="AXYB", a=A.e164, b=B.e164, order_id="o1"))
        assert self.binding.x is not None
        assert self.binding.y is not None
        self.x, self.y = self.binding.x, self.binding.y
        self.agents: list[Agent] = []

    def send(self, scenario: Scenario) -> list[str]:
        """What the sender sees."""
        voice = self.cli.config.voice
        agent = self._run(scenario, (CALLER_AT, free_port(CALLER_AT)), (voice.host, voice.udp_port))
        agent.wait()
        return agent.received

    def receiver(self, messages: int = 1, *, number: Msisdn = B, within_s: int = 20) -> Agent:
        """The peer that messages go to."""
        scenario = Scenario(number.national).expect_request("MESSAGE", first=True).reply(200)
        at = (CALLEE_AT, self.cli.config.voice.peers[0].port)
        agent = self._run(scenario, at, None, calls=messages, timeout_s=within_s)
        wait_for(lambda: listening(at), "the receiver")
        return agent

    def record(self, state: str) -> Message:
        """The one record, once it is there."""
        wait_for(lambda: [one for one in self.records() if one.state == state], f"the record as {state}")
        (record,) = self.records()
        return record

    def close(self) -> None:
        for agent in self.agents:
            agent.stop()
        if self.client.get(self.binding.id).released_at is None:
            self.client.release(self.binding.id)

    def records(self) -> list[Message]:
        return list(self.client.messages(binding=self.binding.id))

    def _run(self, scenario: Scenario, at: tuple[str, int], to: tuple[str, int] | None, **more: int) -> Agent:
        folder = self.folder / str(len(self.agents))
        agent = run(scenario, folder, "agent", local=at, remote=to, **more)
        self.agents.append(agent)
        return agent


@pytest.fixture
def world(cli: Cli, key: str, tmp_path: Path) -> Iterator[World]:
    with Client(f"http://127.0.0.1:{cli.config.api.port}", key) as client:
        made = World(cli, client, tmp_path)
        yield made
        made.close()


def texting(number: Msisdn, to: str, text: str = "我到了", status: int = 202) -> Scenario:
    return Scenario(number.national).message(to, text).expect(status)


@pytest.mark.parametrize("back", [False, True], ids=["A to B", "B to A"])
def test_a_message_reaches_the_other_party(world: World, tmp_path: Path, back: bool) -> None:
    """It comes from the number that the other knows, and neither side learns more."""
    sender, receiver, to, seen_from = (B, A, world.y, world.x) if back else (A, B, world.x, world.y)
    with Capture(tmp_path / "text.pcap", f"host {CALLER_AT} or host {CALLEE_AT}") as capture:
        phone = world.receiver(number=receiver)
        world.send(texting(sender, to))
        phone.wait()
        record = world.record("delivered")
    (seen,) = phone.received
    assert seen.startswith(f"MESSAGE sip:{receiver.e164}@{CALLEE_AT}:")
    assert f"From: <sip:{seen_from}@" in seen
    assert seen.replace("\r", "").partition("\n\n")[2].strip() == "我到了"
    assert leaks_of_call(capture.packets, sender, receiver, []) == []
    assert record.attempts == 1
    config = world.cli.config
    assert LeakChecker({"A": A, "B": B}).scan_files([config.log_dir, config.spool_dir, config.run_dir]) == []


def test_a_message_that_comes_twice_is_one(world: World) -> None:
    """The second has the same Call-ID and CSeq, in a transaction of its own."""
    twice = texting(A, world.x)
    twice.steps += [step.replace("[branch]", "z9hG4bKagain") for step in twice.steps]
    phone = world.receiver()
    world.send(twice)
    phone.wait()
    assert world.record("delivered").attempts == 1


def test_refusals(world: World) -> None:
    world.send(texting(C, world.x, status=403))
    world.send(texting(A, "700999999990001", status=404))
    world.send(texting(A, "4008001234", status=404))
    world.client.release(world.binding.id)
    world.send(texting(A, world.x, status=410))


def test_a_sender_hears_of_the_delivery(world: World) -> None:
    """In CPIM, by a notification from the number that it wrote to."""
    phone = world.receiver(2)
    body = WRAPPED.format(own=A.national, x=world.x)
    world.send(Scenario(A.national).message(world.x, body, kind="message/cpim").expect(202))
    phone.wait()
    text, notice = phone.received
    assert text.startswith(f"MESSAGE sip:{B.e164}@")
    assert "34jk324j" not in text
    assert notice.startswith(f"MESSAGE sip:{A.e164}@")
    assert re.search(r"<message-id>34jk324j</message-id>", notice)
    assert "<status><delivered/></status>" in notice


def test_a_peer_that_comes_back(world: World) -> None:
    """The first attempt finds nobody; the message may have been taken. It goes out once more."""

    def doubts() -> int:
        said = (world.cli.home.parent / "up.log").read_text("utf-8", "replace")
        return said.count("a part was not answered")

    before = doubts()
    world.send(texting(A, world.x))
    wait_for(lambda: doubts() > before, "the first attempt", 60)
    phone = world.receiver(within_s=90)
    phone.wait(90)
    assert world.record("delivered").attempts == 2
