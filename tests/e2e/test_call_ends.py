"""How the platform itself ends calls, through ``qibai up``: both sides hear of it, one record says why."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cli_tools import Cli
from up_tools import Both, platform_with_peers, tenant_key

from qibai.client import BindRequest, Call, Client
from qibai.testing.platform import free_port, wait_for
from qibai.testing.sipp import Scenario, run
from voice_tools import CALLER_AT, A, B, C, answering, calling

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    times = {"QIBAI_VOICE_RING_TIMEOUT_S": "2", "QIBAI_VOICE_MEDIA_TIMEOUT_S": "4"}
    with platform_with_peers(tmp_path_factory.mktemp("ends"), **times) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def key(cli: Cli) -> str:
    return tenant_key(cli)


@pytest.fixture
def client(cli: Cli, key: str) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{cli.config.api.port}", key) as made:
        yield made


@pytest.fixture
def both(cli: Cli, client: Client, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Both]:
    made = Both(cli, client, tmp_path, **getattr(request, "param", {}))
    yield made
    client.release(made.binding.id)


def hung_up_on(both: Both) -> tuple[Scenario, Scenario]:
    """Two sides that talk until the platform ends the call."""
    return calling(A, both.x).expect_request("BYE").reply(200), answering(B).expect_request("BYE").reply(200)


@pytest.mark.parametrize("both", [{"max_call_s": 1}], indirect=True, ids=["1 s"])
def test_the_longest_call(both: Both) -> None:
    record = both.call(*hung_up_on(both))
    assert (record.reason, record.ended_by) == ("max_duration", "platform")
    assert record.duration_ms is not None
    assert record.duration_ms >= 1_000


@pytest.mark.parametrize("both", [{"max_call_s": 2}], indirect=True, ids=["2 s"])
def test_the_longest_call_holds_after_a_bye_that_was_refused(both: Both) -> None:
    caller = calling(A, both.x).request("BYE").expect(500)
    callee = answering(B).expect_request("BYE").reply(500)
    for side in (caller, callee):
        side.expect_request("BYE").reply(200)
    record = both.call(caller, callee)
    assert (record.reason, record.ended_by) == ("max_duration", "platform")


def test_terminated_through_the_api(both: Both, client: Client) -> None:
    record = both.call(*hung_up_on(both), lambda call: client.terminate(call.id))
    assert (record.reason, record.ended_by) == ("terminated", "platform")


def test_terminated_on_the_command_line(both: Both, cli: Cli, key: str) -> None:
    record = both.call(
        *hung_up_on(both),
        lambda call: cli.run(
            *("terminate", call.id),
            QIBAI_API_KEY=key,
            QIBAI_API_URL=f"http://127.0.0.1:{cli.config.api.port}",
        ),
    )
    assert (record.reason, record.ended_by) == ("terminated", "platform")


def test_no_media(both: Both) -> None:
    """Neither side sends a packet of sound for as long as is allowed."""
    record = both.call(*hung_up_on(both))
    assert (record.reason, record.ended_by) == ("media_timeout", "platform")


def test_ringing_too_long(both: Both) -> None:
    caller = Scenario(A.national).invite(str(both.x)).expect(100, optional=True).expect(180).expect(408)
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180)
    callee.expect_request("CANCEL").reply(200, contact=False).reply_to_invite(487).expect_request("ACK")
    record = both.call(caller.fail_ack(str(both.x)), callee)
    assert (record.reason, record.ended_by, record.answered_at) == ("no_answer", "platform", None)
    assert record.ringing_at is not None


def test_an_answer_that_crosses_the_end_of_ringing(both: Both) -> None:
    """The callee lifts the receiver as the CANCEL is on its way: nobody is there, so it is hung up on."""
    caller = Scenario(A.national).invite(str(both.x)).expect(100, optional=True).expect(180).expect(408)
    callee = Scenario(B.national).expect_request("INVITE", first=True).reply(180).expect_request("CANCEL")
    callee.reply(200, contact=False).reply_to_invite(200, sdp=True).expect_request("ACK").expect_request(
        "BYE"
    ).reply(200)
    record = both.call(caller.fail_ack(str(both.x)), callee)
    assert (record.reason, record.ended_by, record.answered_at) == ("no_answer", "platform", None)


def test_calls_are_followed(both: Both, cli: Cli, client: Client, key: str, tmp_path: Path) -> None:
    """``calls --follow --limit 1`` prints a call as it changes, though another came after it."""
    over = client.bind(BindRequest(mode="AXB", a=C.e164, b=B.e164, order_id="o2"))
    client.release(over.id)
    refused = Scenario(C.national).invite(over.x).expect(100, optional=True).expect(410).fail_ack(over.x)
    said = tmp_path / "followed"

    def lines() -> list[Call]:
        return [msgspec.json.decode(line, type=Call) for line in said.read_bytes().splitlines(keepends=True)]

    def another(call: Call) -> None:
        wait_for(lambda: any(one.id == call.id and one.answered_at for one in lines()), "the call's line")
        voice = cli.config.voice
        place = {"local": (CALLER_AT, free_port(CALLER_AT)), "remote": (voice.host, voice.udp_port)}
        run(refused, tmp_path / "another", "caller", **place).wait()
        wait_for(lambda: any(one.binding_id == over.id for one in lines()), "the other call's line")

    here = ("env", "--default-signal=INT")  # which is ignored where the tests run in the background
    command = [*here, *cli.command, "calls", "--follow", "--limit", "1", "--json", "--reveal"]
    with said.open("wb") as out:
        follower = subprocess.Popen(command, env={**cli.env, "QIBAI_API_KEY": key}, stdout=out)
    try:
        caller, callee = calling(A, both.x).pause(3_000).request("BYE"), answering(B).expect_request("BYE")
        record = both.call(caller.expect(200), callee.reply(200), another)
        wait_for(lambda: record in lines(), "the ended call's line")
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
    assert len({one.id for one in lines()} - {record.id}) <= 2, "the newest one, and the other call"
    assert len(lines()) == len(set(map(repr, map(msgspec.json.encode, lines())))), "no line comes twice"
